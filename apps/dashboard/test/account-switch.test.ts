import { readFileSync } from 'node:fs'
import type { Page, Response } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { comeBackTo, type Person, testDashboard } from './person.ts'

const { server, visit, signUp, signUpInvited, join, call, charge } = testDashboard()

const accountList = (page: Page) => page.getByRole('combobox', { name: 'Account' })

/** Creates two owners with named accounts. The second one is also a member of the account of the first one. */
async function memberOfTwo(role: 'admin' | 'developer' | 'viewer' = 'admin', options = {}) {
  const [other, person] = [await signUp(), await signUp(options)]
  for (const [{ accessToken }, name] of [
    [other, 'Theirs'],
    [person, 'Mine'],
  ] as const)
    await call('accounts.rename', { name }, accessToken)
  await call('keys.create', { name: 'their key' }, other.accessToken)
  await call('keys.create', { name: 'my key' }, person.accessToken)
  await join(other, person, role)
  await person.page.reload()
  await accountList(person.page).waitFor()
  return { other, person }
}

const choose = async ({ page }: Person, name: string) => {
  const label = await accountList(page).getByRole('option', { name }).textContent()
  await accountList(page).selectOption({ label: label ?? '' })
}

/** Returns a function that tells whether the page has shown a fault since, also if only for a moment. */
async function watchForFaults(page: Page): Promise<() => Promise<boolean>> {
  await page.evaluate(() => {
    Reflect.set(window, 'hasShownFault', false)
    new MutationObserver(() => {
      if (document.querySelector('[role=alert]') !== null) Reflect.set(window, 'hasShownFault', true)
    }).observe(document.body, { childList: true, subtree: true })
  })
  return async () => await page.evaluate(() => Reflect.get(window, 'hasShownFault'))
}

describe('the list of accounts in the header', () => {
  it('is absent for a member of one account', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    expect(await accountList(member.page).count()).toBe(0)
  })

  it('is in a header of one line on a wide screen and of two lines on a narrow one, without it too', async () => {
    const { person, other } = await memberOfTwo('viewer')
    await call('accounts.rename', { name: 'A very long name of an account that somebody has chosen' }, other.accessToken)
    await person.page.reload()
    await accountList(person.page).waitFor()
    for (const { page } of [person, other]) {
      await page.getByText('Real time').waitFor()
      for (const [width, lines] of [
        [1280, 1],
        [768, 2],
        [360, 2],
      ] as const) {
        await page.setViewportSize({ width, height: 800 })
        const controls = page.getByRole('banner').locator('a, button, select')
        const boxes = await controls.evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect()))
        expect(boxes.length).toBeGreaterThanOrEqual(7)
        expect([width, new Set(boxes.map(({ top, height }) => Math.round(top + height / 2))).size]).toEqual([width, lines])
        for (const { left, right } of boxes) {
          expect(left).toBeGreaterThanOrEqual(0)
          expect(right).toBeLessThanOrEqual(width)
        }
      }
    }
  })

  it('shows another account without a reload, and the browser remembers it', async () => {
    const { person, other } = await memberOfTwo('developer')
    const { page, row, complaints } = person
    await row('my key').waitFor()
    expect(await accountList(page).getByRole('option').allTextContents()).toEqual(['Mine (owner)', 'Theirs (developer)'])
    await page.evaluate(() => Reflect.set(window, 'isSame', true))
    await choose(person, 'Theirs')
    await page.getByText('You now see the account Theirs.').waitFor()
    await row('their key').waitFor()
    expect(await row('my key').count()).toBe(0)
    expect(await page.evaluate(() => Reflect.get(window, 'isSame'))).toBe(true)
    // The role is that of the other account.
    expect(await page.getByRole('button', { name: 'Actions for their key' }).count()).toBe(0)
    await page.reload()
    await row('their key').waitFor()
    expect(await row('my key').count()).toBe(0)
    // The stream belongs to the chosen account too.
    await page.getByText('Real time').waitFor()
    await charge(other.secret, 40)
    await page.getByText('960 left').waitFor()
    expect(complaints).toEqual([])
  })

  it('is usable with the keyboard', async () => {
    const { person } = await memberOfTwo()
    const { page, row } = person
    await row('my key').waitFor()
    await accountList(page).focus()
    await page.keyboard.press('ArrowDown')
    await row('their key').waitFor()
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Account')
  })

  it('changes only its own tab and new tabs, and a reload keeps the account of each tab', async () => {
    const { person } = await memberOfTwo()
    const second = await person.page.context().newPage()
    await second.goto(server.url)
    await second.getByRole('row').filter({ hasText: 'my key' }).waitFor()
    await accountList(second).selectOption({ index: 1 })
    await second.getByRole('row').filter({ hasText: 'their key' }).waitFor()
    await second.reload()
    await second.getByRole('row').filter({ hasText: 'their key' }).waitFor()
    await second.close()
    // The first tab reads the accounts again, and keeps its account and the choice of the second tab.
    const read = person.page.waitForResponse(/accounts\.list/)
    await comeBackTo(person.page)
    await (await read).finished()
    await person.row('my key').waitFor()
    await person.page.reload()
    await person.row('my key').waitFor()
    expect(await accountList(person.page).locator('option:checked').textContent()).toBe('Mine (owner)')
    // A new tab shows the account that was chosen last.
    const third = await person.page.context().newPage()
    await third.goto(server.url)
    await third.getByRole('row').filter({ hasText: 'their key' }).waitFor()
  })
})

describe('calls during a change of the account', () => {
  it('a late answer about the previous account is dropped, and nothing of that account stays on the page', async () => {
    const { person, other } = await memberOfTwo()
    const { page, row } = person
    await row('my key').waitFor()
    const asked = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    await page.route(/trpc\/[^?]*billing\.get/, async (route) => {
      if (route.request().headers()['x-keymeter-account'] !== person.accountId) return await route.continue()
      asked.resolve()
      await answer.promise
      await route.continue()
    })
    // The answer will contain a number that no other account shows.
    await charge(person.secret, 123)
    await comeBackTo(page)
    await asked.promise
    // From the choice on, the page shows nothing of the previous account, also nothing that it has loaded earlier.
    await page.evaluate((chosen) => {
      const shown: string[] = []
      Reflect.set(window, 'shown', shown)
      new MutationObserver(() => {
        if (document.querySelector<HTMLSelectElement>('select[aria-label=Account]')?.value !== chosen) return
        for (const text of ['my key', '877 left']) if (document.body.textContent?.includes(text)) shown.push(text)
      }).observe(document.body, { childList: true, subtree: true, characterData: true })
    }, other.accountId)
    await choose(person, 'Theirs')
    await row('their key').waitFor()
    const isLate = (response: Response) => response.request().headers()['x-keymeter-account'] === person.accountId
    const late = page.waitForResponse(isLate)
    answer.resolve()
    expect(await (await late).text()).toContain('877')
    // A later answer about the chosen account shows that the page has handled the late one.
    const next = page.waitForResponse((response) => response.url().includes('billing.get') && !isLate(response))
    await comeBackTo(page)
    await (await next).finished()
    await page.getByRole('link', { name: 'Billing' }).click()
    await page.getByText('1,000 left').waitFor()
    expect(await page.evaluate(() => Reflect.get(window, 'shown'))).toEqual([])
  })

  it('a change that begins on one account is sent to this account, even if the account changes before the batch is sent', async () => {
    const { person, other } = await memberOfTwo()
    const { page, row } = person
    await row('my key').getByRole('button', { name: 'Actions for my key' }).click()
    await page.getByRole('menuitem', { name: 'Disable', exact: true }).waitFor()
    const disabling = page.waitForRequest(/keys\.disable/)
    // Both events are in one task, and a batch is sent only after this task.
    await page.evaluate(() => {
      const item = [...document.querySelectorAll<HTMLElement>('[role=menuitem]')].find((one) => one.textContent === 'Disable')
      const list = document.querySelector<HTMLSelectElement>('select[aria-label=Account]')
      if (item === undefined || list === null) throw new Error('the menu or the list is absent')
      item.click()
      list.selectedIndex = 1
      list.dispatchEvent(new Event('change', { bubbles: true }))
    })
    const request = await disabling
    expect(request.headers()['x-keymeter-account']).toBe(person.accountId)
    expect((await request.response())?.status()).toBe(200)
    await row('their key').waitFor()
    expect(await accountList(page).inputValue()).toBe(other.accountId)
  })

  it('the button that undoes a change of the previous account disappears', async () => {
    const { person } = await memberOfTwo()
    const { page, row, choose: act } = person
    await act('my key', 'Disable')
    await page.getByRole('button', { name: 'Undo' }).waitFor()
    await choose(person, 'Theirs')
    await row('their key').waitFor()
    await page.getByRole('button', { name: 'Undo' }).waitFor({ state: 'detached' })
  })

  it('an export contains the events of the account on the page', async () => {
    const { person, other } = await memberOfTwo('viewer', { hasFilePicker: false })
    const { page } = person
    await charge(other.secret, 7)
    await charge(person.secret, 9)
    await choose(person, 'Theirs')
    await page.getByRole('link', { name: 'Usage' }).click()
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export CSV' }).click()
    const csv = readFileSync(await (await download).path(), 'utf8')
    expect(csv.trim().split('\n')).toHaveLength(2)
    expect(csv).toMatch(/,7,/)
  })
})

describe('a member who is removed', () => {
  it('sees another account of theirs, with a message, after the next call', async () => {
    const { person, other } = await memberOfTwo('viewer')
    const { page, row } = person
    await choose(person, 'Theirs')
    await row('their key').waitFor()
    await call('members.remove', { memberId: person.accountId }, other.accessToken)
    await comeBackTo(page)
    await row('my key').waitFor()
    await page.getByText('You are no longer a member of the account Theirs.').waitFor()
    expect(await row('their key').count()).toBe(0)
    expect(await accountList(page).count()).toBe(0)
  })

  it('while the page was closed, opens the page and then another one, and sees another account and no error', async () => {
    const { person, other } = await memberOfTwo('viewer')
    const { page, row } = person
    await choose(person, 'Theirs')
    await row('their key').waitFor()
    await page.goto('about:blank')
    await call('members.remove', { memberId: person.accountId }, other.accessToken)
    const [refused, provisioned] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await page.route(/auth\.provision/, async (route) => {
      await refused.promise
      const response = await route.fetch()
      provisioned.resolve()
      await route.fulfill({ response })
    })
    let calls = 0
    await page.route(/members\.list/, async (route) => {
      if (calls++ > 0) await provisioned.promise
      await route.continue()
    })
    await page.goto(server.url)
    const hasShownFault = await watchForFaults(page)
    // Until the accounts are known, the page acts on the remembered account, and a refusal is not the final answer.
    const guess = page.waitForResponse(/members\.list/)
    await page.getByRole('link', { name: 'Members' }).click()
    await (await guess).finished()
    expect(await (await guess).text()).toContain('not_a_member')
    refused.resolve()
    await row(person.email).waitFor()
    expect(await hasShownFault()).toBe(false)
  })

  it('of the only account can open an own one', async () => {
    const owner = await signUp()
    const member = await signUpInvited(owner, 'viewer')
    await call('members.remove', { memberId: member.userId }, owner.accessToken)
    await comeBackTo(member.page)
    await member.page.getByRole('button', { name: 'Open an account' }).waitFor()
    // The page is the same after a reload, and no account was opened.
    await member.page.reload()
    await member.page.getByRole('heading', { name: 'You are not a member of any account' }).waitFor()
  })
})

describe('a member without an own account', () => {
  it('signs in with another browser and sees the account, not an error', async () => {
    const owner = await signUp()
    const { email } = await signUpInvited(owner, 'viewer')
    const { page, row } = await visit()
    await page.goto(server.url)
    const hasShownFault = await watchForFaults(page)
    await page.getByLabel('E-mail').fill(email)
    await page.getByLabel('Password').fill('a long password')
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await row('default').waitFor()
    expect(await hasShownFault()).toBe(false)
  })
})
