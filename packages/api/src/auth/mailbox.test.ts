import { describe, expect, it } from 'vitest'
import { canonicalMailbox, hashMailbox } from './mailbox.ts'

describe('the mailbox of an e-mail address', () => {
  it.each([
    ['Some.One@Example.COM', 'some.one@example.com'],
    [' someone@example.com ', 'someone@example.com'],
    ['someone+tag@example.com', 'someone@example.com'],
    ['someone+tag+more@example.com', 'someone@example.com'],
    ['someone@example.com.', 'someone@example.com'],
    ['someone@bücher.example', 'someone@xn--bcher-kva.example'],
    ['someone@BÜCHER.example', 'someone@xn--bcher-kva.example'],
    ['someone@bu\u0308cher.example', 'someone@xn--bcher-kva.example'],
    ['someone@xn--bcher-kva.example', 'someone@xn--bcher-kva.example'],
    ['someone@ｅxample.com', 'someone@example.com'],
    ['someone@例え。テスト', 'someone@xn--r8jz45g.xn--zckzah'],
    ['someone@faß.example', 'someone@xn--fa-hia.example'],
    ['"someone"@example.com', 'someone@example.com'],
    ['s.o.m.e.o.n.e@gmail.com', 'someone@gmail.com'],
    ['SomeOne+x@GoogleMail.com', 'someone@gmail.com'],
    ['some.one@googlemail.com.', 'someone@gmail.com'],
    ['some-o.n_e@protonmail.com', 'someone@proton.me'],
    ['someone@pm.me', 'someone@proton.me'],
    ['someone@me.com', 'someone@icloud.com'],
    ['some.one@ya.ru', 'some-one@yandex.ru'],
    ['someone-shop@yahoo.co.uk', 'someone@yahoo.co.uk'],
  ])('%s is the mailbox %s', (email, mailbox) => {
    expect(canonicalMailbox(email)).toBe(mailbox)
    expect(hashMailbox(email)).toEqual(hashMailbox(mailbox))
  })

  it.each([
    ['some.one@example.com', 'someone@example.com'],
    ['some-one@example.com', 'someone@example.com'],
    ['someone@example.com', 'someone@example.org'],
    ['someone@gmail.com', 'someone@gmail.com.example'],
    ['someone@notgmail.com', 'someone@gmail.com'],
    ['someone@fass.example', 'someone@faß.example'],
    ['someone@example.com/path', 'someone@example.com'],
    ['+someone@example.com', '+else@example.com'],
  ])('%s and %s are two mailboxes', (one, other) => {
    expect(canonicalMailbox(one)).not.toBe(canonicalMailbox(other))
    expect(hashMailbox(one)).not.toEqual(hashMailbox(other))
  })

  it('the hash has 32 bytes and does not contain the address', () => {
    expect(hashMailbox('someone@example.com')).toHaveLength(32)
    expect(hashMailbox('someone@example.com').toString('latin1')).not.toContain('someone')
  })
})
