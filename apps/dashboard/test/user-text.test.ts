import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { testDashboard } from './person.ts'

const { database, signUp, charge } = testDashboard()

/** This letter is in every name that these tests use, and nowhere else. It is written from right to left. */
const MARK = 'ש'
const HEBREW = `מפתח ${MARK}`
/** Without isolation, the first control reverses the text after it. The second control ends an isolation. */
const REVERSED = `\u202Egnp.exe ${MARK}`
const ESCAPING = `\u2069\u202Egnp.exe ${MARK}`

/**
 * Returns the texts and attributes that contain a name which is not isolated from the text around it, or a control that changes
 * the direction of text.
 */
async function mixedTexts(page: Page): Promise<string[]> {
  return await page.evaluate((mark) => {
    const faults: string[] = []
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
      const text = node.nodeValue ?? ''
      if (/[\u202A-\u202E\u2066-\u2069]/.test(text)) faults.push(`control: ${JSON.stringify(text)}`)
      if (text.includes(mark) && node.parentElement?.closest('bdi, [dir=auto]') === null) faults.push(`text: ${text}`)
    }
    for (const element of document.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        const isShown = ['title', 'alt', 'placeholder'].includes(name) || name.startsWith('aria-')
        const outside = value.replaceAll(/\u2068[^\u202A-\u202E\u2066-\u2069]*\u2069/g, '')
        const isIsolated = !outside.includes(mark) && !/[\u202A-\u202E\u2066-\u2069]/.test(outside)
        if (isShown && value.includes(mark) && !isIsolated) faults.push(`${name}: ${JSON.stringify(value)}`)
      }
      const isField = element instanceof HTMLInputElement && element.value.includes(mark)
      if (isField && element.dir !== 'auto') faults.push(`field: ${element.value}`)
    }
    return faults
  }, MARK)
}

/** Returns true if the dialog draws these words in their order: from left to right, and then from line to line. */
async function areInOrder(page: Page, words: string[]): Promise<boolean> {
  return await page.getByRole('alertdialog').evaluate((root, all) => {
    const placeOf = (word: string) => {
      const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
      for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
        const start = (node.nodeValue ?? '').indexOf(word)
        if (start === -1) continue
        const range = document.createRange()
        range.setStart(node, start)
        range.setEnd(node, start + word.length)
        const { left, top, bottom } = range.getBoundingClientRect()
        return { left, top, bottom }
      }
      throw new Error(`The dialog does not contain ${word}.`)
    }
    const places = all.map(placeOf)
    return places.every((place, i) => {
      const previous = places[i - 1]
      return previous === undefined || place.top >= previous.bottom || place.left > previous.left
    })
  }, words)
}

describe('text that a user wrote', () => {
  for (const [kind, name] of [
    ['in Hebrew', HEBREW],
    ['with a control that reverses text', REVERSED],
    ['with a control that ends the isolation', ESCAPING],
  ] as const) {
    it(`a name ${kind} does not change the text around it on any page, in any dialog or in any message`, async () => {
      const { page, secret, accountId, choose, confirm, complaints } = await signUp()
      const expectIsolated = async () => expect(await mixedTexts(page)).toEqual([])
      await charge(secret, 30)
      await database.owner.query('update api_keys set name = $2 where user_id = $1', [accountId, name])
      await database.owner.query('update api_key_usage set operation = $2 where user_id = $1', [accountId, MARK])
      await database.owner.query(
        `update audit_log set user_agent = $2, detail = jsonb_build_object('name', jsonb_build_object('from', $2::text, 'to', $2::text)),
                              action = 'key.updated' where user_id = $1`,
        [accountId, name],
      )
      await database.owner.query("select keymeter.grant_top_up($1, 5, 'note', $2, row('test', null, null))", [accountId, name])
      await database.owner.query("select keymeter.take_back_top_up($1, 'note', 2, 'back', $2, row('test', null, null))", [
        accountId,
        name,
      ])
      await page.reload()
      await page.getByRole('row').filter({ hasText: MARK }).waitFor()
      await expectIsolated()
      await choose('', 'Revoke…')
      await page.getByRole('alertdialog').waitFor()
      expect(await areInOrder(page, ['Calls', 'with', 'km_dev_', 'stop', 'working', 'immediately'])).toBe(true)
      expect(await areInOrder(page, ['This key', 'in use', 'last used'])).toBe(true)
      await expectIsolated()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      for (const [action, dialog] of [
        ['Edit…', 'Edit key'],
        ['Rotate secret…', 'Rotate secret'],
      ] as const) {
        await choose('', action)
        await page.getByRole('dialog', { name: dialog }).waitFor()
        await expectIsolated()
        await page.keyboard.press('Escape')
        await page.getByRole('dialog', { name: dialog }).waitFor({ state: 'detached' })
      }
      await choose('', 'Rotate secret…')
      await page.getByRole('button', { name: 'Rotate secret' }).click()
      await page.getByRole('dialog', { name: 'Save your secret' }).waitFor()
      await expectIsolated()
      await page.getByRole('button', { name: 'Done' }).click()
      await confirm('Close anyway')
      await page.getByRole('button', { name: 'Get a new one' }).click()
      await page.getByRole('alertdialog').waitFor()
      await expectIsolated()
      await page.keyboard.press('Escape')
      await page.getByRole('alertdialog').waitFor({ state: 'detached' })
      await page.getByRole('button', { name: 'I have it' }).click()
      await page.getByText('counts as saved').waitFor()
      await expectIsolated()
      await page.getByRole('button', { name: 'End now' }).click()
      await page.getByRole('alertdialog').waitFor()
      await expectIsolated()
      await confirm('End now')
      await page.getByText('have ended').waitFor()
      await expectIsolated()
      await choose('', 'Disable…')
      await page.getByRole('alertdialog').waitFor()
      await expectIsolated()
      await confirm('Disable')
      await page.getByRole('button', { name: 'Undo' }).waitFor()
      await expectIsolated()

      await page.getByRole('link', { name: 'Billing' }).click()
      await page.getByRole('list', { name: 'Share of the plan used' }).waitFor()
      await page.getByText('Top-up:').waitFor()
      await expectIsolated()
      await page.getByRole('link', { name: 'Activity' }).click()
      await page.getByText('Renamed from').first().waitFor()
      await expectIsolated()
      await page.getByRole('link', { name: 'Usage' }).click()
      await page.getByRole('row', { name: /Charged/ }).waitFor()
      await page.getByRole('group', { name: 'Credits by time' }).waitFor()
      await expectIsolated()
      await page.getByRole('combobox', { name: 'Key', exact: true }).click()
      await page.getByRole('listbox').getByRole('option').filter({ hasText: MARK }).click()
      await page.getByRole('combobox', { name: 'Key', exact: true }).filter({ hasText: MARK }).waitFor()
      await expectIsolated()
      await page.getByRole('combobox', { name: 'Group by' }).selectOption('Operation')
      await page.waitForURL(/by=operation/)
      await expectIsolated()
      expect(complaints).toEqual([])
    })
  }

  it('a name that consists of invisible characters is shown as such', async () => {
    const { page, row, accountId } = await signUp()
    await database.owner.query('update api_keys set name = $2 where user_id = $1', [accountId, '\u200B\u3164'])
    await page.reload()
    await row('(invisible text)').waitFor()
    await page.getByRole('button', { name: 'Actions for (invisible text)' }).waitFor()
  })
})
