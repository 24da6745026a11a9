import { insertSecrets } from '@keymeter/local/testing'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { hasFocus, testDashboard } from './person.ts'

const { database, server, signUp, charge } = testDashboard()

/** Inserts 150 revoked keys. Their names sort after `default`, so a list of 100 keys by name does not contain the last ones. */
async function insertRevoked(accountId: string): Promise<void> {
  await database.owner.query(
    `insert into api_keys (user_id, name, revoked_at) select $1, 'worker ' || lpad(n::text, 3, '0'), now() from generate_series(1, 150) as n`,
    [accountId],
  )
  await insertSecrets(database.owner)
}

/** The list of found keys. The options of other filters are not in it. */
const found = (page: Page) => page.getByRole('listbox')

const idOf = async (accountId: string, name: string): Promise<string> =>
  (await database.owner.query('select id from api_keys where user_id = $1 and name = $2', [accountId, name])).rows[0].id

describe('filter by key', () => {
  it('the filter finds a revoked key that is not among the first 100 keys, and works with keyboard and screen reader', async () => {
    const { page, secret, accountId, complaints } = await signUp()
    await charge(secret, 5)
    await insertRevoked(accountId)
    await page.getByRole('link', { name: 'Usage' }).click()
    const filter = page.getByRole('combobox', { name: 'Key', exact: true })
    await page.getByRole('row', { name: /Charged/ }).waitFor()
    await filter.focus()
    await page.keyboard.press('Enter')
    const search = page.getByRole('combobox', { name: 'Search keys' })
    await expect.poll(async () => await hasFocus(search)).toBe(true)
    await page.getByText('Type to find the other keys.').waitFor()
    await page.keyboard.type('ORKER 15')
    await found(page)
      .getByRole('option', { name: /worker 150.*revoked/ })
      .waitFor()
    await expect.poll(async () => await found(page).getByRole('option').count()).toBe(1)
    await page.keyboard.press('Enter')
    await found(page).waitFor({ state: 'detached' })
    await page.getByText('No event matches.').waitFor()
    expect(new URL(page.url()).searchParams.get('keyId')).toBe(await idOf(accountId, 'worker 150'))
    await expect.poll(async () => await hasFocus(filter)).toBe(true)
    expect(await filter.textContent()).toContain('worker 150')

    // The key from the URL is shown by its name, although the list of keys was not loaded.
    await page.reload()
    await filter.getByText('worker 150', { exact: false }).waitFor()
    await filter.click()
    await search.fill('nothing like it')
    await page.getByRole('status').getByText('No key matches.').waitFor()
    await search.fill('')
    await found(page).getByRole('option', { name: 'All', exact: true }).click()
    await page.getByRole('row', { name: /Charged/ }).waitFor()
    expect(complaints).toEqual([])
  })

  it('the filter of the activity page finds the same keys, and tells keys with the same name apart', async () => {
    const { page, secret, accountId, saveSecret, complaints } = await signUp()
    await insertRevoked(accountId)
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('dialog').getByLabel('Name').fill('default')
    await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
    const other = await saveSecret()
    await page.getByRole('link', { name: 'Activity' }).click()
    const filter = page.getByRole('combobox', { name: 'Key', exact: true })
    const entries = page.getByRole('list').getByRole('listitem')
    for (const one of [secret, other]) {
      await filter.click()
      await page.getByRole('combobox', { name: 'Search keys' }).fill('default')
      await expect.poll(async () => await found(page).getByRole('option').count()).toBe(2)
      await found(page)
        .getByRole('option', { name: one.slice(0, 15) })
        .click()
      await filter.getByText(`(${one.slice(0, 15)}…)`).waitFor()
      await entries
        .getByText(`${one.slice(0, 15)}… · By you`, { exact: false })
        .first()
        .waitFor()
      await expect.poll(async () => await entries.filter({ hasNotText: one.slice(0, 15) }).count()).toBe(0)
    }
    await page.goto(`${server.url}/activity?keyId=${await idOf(accountId, 'worker 149')}`)
    await filter.getByText('worker 149', { exact: false }).waitFor()
    expect(complaints).toEqual([])
  })

  it('a secret that is pasted into the filter is cut to its key prefix, and never gets into a request', async () => {
    const { page, secret } = await signUp()
    const seen: string[] = []
    page.on('request', (request) => seen.push(request.url(), request.postData() ?? ''))
    await page.getByRole('link', { name: 'Usage' }).click()
    await page.getByRole('combobox', { name: 'Key', exact: true }).click()
    await page.evaluate(async (text) => await navigator.clipboard.writeText(text), secret)
    const search = page.getByRole('combobox', { name: 'Search keys' })
    await search.focus()
    await page.keyboard.press('Control+V')
    expect(await search.inputValue()).toBe(secret.slice(0, 15))
    await found(page)
      .getByRole('option', { name: /^default/ })
      .waitFor()
    await expect.poll(() => seen.some((url) => url.includes('keys.list') && url.includes(secret.slice(0, 15)))).toBe(true)
    expect(seen.join()).not.toContain(secret.slice(0, 16))
  })

  it('text that is typed while the list closes and opens again is kept', async () => {
    const { page, complaints } = await signUp()
    await page.getByRole('link', { name: 'Activity' }).click()
    const filter = page.getByRole('combobox', { name: 'Key', exact: true })
    const search = page.getByRole('combobox', { name: 'Search keys' })
    for (const text of ['default', 'defa']) {
      await filter.click()
      await search.fill('default')
      const option = await found(page)
        .getByRole('option', { name: /^default/ })
        .elementHandle()
      const nodes = [option, await filter.elementHandle(), await search.elementHandle()] as const
      // All of this happens before the next frame. The list fades out, and the press of the button opens it in the next frame.
      await page.evaluate(
        async ([choice, button, input, typed]) => {
          const nextFrame = async () => await new Promise(requestAnimationFrame)
          await nextFrame()
          choice?.dispatchEvent(new MouseEvent('click', { bubbles: true, detail: 1 }))
          await new Promise<void>(queueMicrotask)
          button?.dispatchEvent(new MouseEvent('mousedown', { bubbles: true, cancelable: true }))
          if (!(input instanceof HTMLInputElement && input.isConnected)) throw new Error('The list closed without a fade.')
          input.focus()
          input.select()
          document.execCommand(typed === '' ? 'delete' : 'insertText', false, typed)
          for (let frames = 0; frames < 3; frames++) await nextFrame()
        },
        [...nodes, text] as const,
      )
      await expect.poll(async () => await filter.getAttribute('aria-expanded')).toBe('true')
      expect(await search.inputValue()).toBe(text)
      await page.keyboard.press('Escape')
      await search.waitFor({ state: 'detached' })
      await filter.click()
      expect(await search.inputValue()).toBe('')
      await page.keyboard.press('Escape')
      await search.waitFor({ state: 'detached' })
    }
    expect(complaints).toEqual([])
  })
})
