import type { Page, Request } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { hasFocus, PASSWORD, testDashboard } from './person.ts'

const { database, auth, signUp, ageSignIn } = testDashboard()

const question = (page: Page) => page.getByRole('dialog', { name: 'Confirm that it is you' })

/** Answers the question with this password. */
async function confirmWith(page: Page, password: string): Promise<void> {
  await question(page).getByLabel('Password').fill(password)
  await question(page).getByRole('button', { name: 'Confirm' }).click()
}

/** Answers the question with the right password. */
async function confirm(page: Page): Promise<void> {
  await confirmWith(page, PASSWORD)
  await question(page).waitFor({ state: 'detached' })
}

/** Collects the inputs of all calls of a procedure. */
function inputsOf(page: Page, procedure: string): unknown[] {
  const inputs: unknown[] = []
  page.on('request', (request: Request) => {
    if (request.url().includes(`/trpc/${procedure}`)) inputs.push(request.postDataJSON())
  })
  return inputs
}

async function sessionsOf(userId: string): Promise<string[]> {
  const { rows } = await database.owner.query<{ id: string }>('select id from auth.sessions where user_id = $1', [userId])
  return rows.map(({ id }) => id)
}

describe('an old sign-in', () => {
  it('the page asks for the password, keeps the form, and then sends the same call again', async () => {
    const person = await signUp()
    const { page, accountId, complaints } = person
    await ageSignIn(person)
    const before = await sessionsOf(accountId)
    const inputs = inputsOf(page, 'keys.create')
    await page.getByRole('button', { name: 'Create key' }).click()
    const form = page.getByRole('dialog', { name: 'Create a key' })
    const name = form.getByLabel('Name')
    await name.fill('half-typed')
    await form.getByRole('button', { name: 'Create key' }).click()
    await question(page).waitFor()

    await confirmWith(page, 'not the password')
    await question(page).getByText('This is not your current password.').waitFor()
    await page.keyboard.press('Escape')
    await question(page).waitFor({ state: 'detached' })
    expect(await name.inputValue()).toBe('half-typed')
    await form.getByText('This change needs a sign-in of the last 30 minutes', { exact: false }).waitFor()
    expect(await sessionsOf(accountId)).toEqual(before)

    await form.getByRole('button', { name: 'Create key' }).click()
    await question(page).waitFor()
    await confirm(page)
    const secret = await person.saveSecret()
    expect(secret).toMatch(/^km_dev_/)
    expect(await form.count()).toBe(0)
    // Each of the two submits sent its call, and the second one sent it again.
    expect(inputs).toHaveLength(3)
    for (const input of inputs) expect(input).toEqual(inputs[0])
    const { rows } = await database.owner.query('select name from api_keys where user_id = $1 order by name', [accountId])
    expect(rows).toEqual([{ name: 'default' }, { name: 'half-typed' }])
    // The new session has replaced the old one, which has ended.
    const after = await sessionsOf(accountId)
    expect(after).toHaveLength(1)
    expect(after).not.toEqual(before)

    // For the next 30 minutes, the page does not ask again.
    await page.getByRole('button', { name: 'Create key' }).click()
    await name.fill('second')
    await form.getByRole('button', { name: 'Create key' }).click()
    await person.saveSecret()
    expect(complaints).toEqual([])
  })

  it('the page asks in front of a dialog and of the list, and moves the focus to the question and back', async () => {
    const person = await signUp()
    const { page, row } = person
    await ageSignIn(person)
    await person.choose('default', 'Rotate secret…')
    const rotate = page.getByRole('dialog', { name: 'Rotate secret' }).getByRole('button', { name: 'Rotate secret' })
    await rotate.click()
    await question(page).waitFor()
    await expect.poll(async () => await hasFocus(question(page).getByLabel('Password'))).toBe(true)
    await page.keyboard.press('Escape')
    await question(page).waitFor({ state: 'detached' })
    await expect.poll(async () => await hasFocus(rotate)).toBe(true)
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    // A key that is not in use is disabled without a question. Enabling it needs a recent sign-in.
    await person.choose('default', 'Disable')
    await row('default').getByText('Disabled').waitFor()
    await person.choose('default', 'Enable')
    await question(page).waitFor()
    await confirm(page)
    await row('default').getByText('Disabled').waitFor({ state: 'detached' })
  })

  it('somebody without a password confirms with a code from an e-mail', async () => {
    const person = await signUp()
    const { page, email, accountId } = person
    await database.owner.query("update auth.identities set provider = 'google' where user_id = $1", [accountId])
    await ageSignIn(person)
    await page.evaluate(() => {
      const kept = JSON.parse(localStorage.getItem('keymeter-session') ?? '')
      kept.user.identities = [{ provider: 'google' }]
      localStorage.setItem('keymeter-session', JSON.stringify(kept))
    })
    await page.reload()
    await page.getByRole('button', { name: 'Create key' }).click()
    const form = page.getByRole('dialog', { name: 'Create a key' })
    await form.getByLabel('Name').fill('by mail')
    await form.getByRole('button', { name: 'Create key' }).click()
    await question(page).getByRole('button', { name: 'Send the e-mail' }).click()
    await question(page).getByLabel('Code').fill('000000')
    await question(page).getByRole('button', { name: 'Confirm' }).click()
    await question(page).getByText('This code is wrong or has expired.', { exact: false }).waitFor()
    const { text } = await auth.mailbox.next(email)
    await question(page)
      .getByLabel('Code')
      .fill(/\b\d{6}\b/.exec(text)?.[0] ?? text)
    await question(page).getByRole('button', { name: 'Confirm' }).click()
    await person.saveSecret()
  })

  it('a sign-in in another tab answers the question in this tab', async () => {
    const person = await signUp()
    const { page } = person
    await ageSignIn(person)
    const ask = async (tab: Page, name: string) => {
      await tab.getByRole('button', { name: 'Create key' }).click()
      await tab.getByRole('dialog').getByLabel('Name').fill(name)
      await tab.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
      await question(tab).waitFor()
    }
    await ask(page, 'here')
    const tab = await page.context().newPage()
    await tab.goto(page.url())
    await ask(tab, 'there')
    await confirm(tab)
    await tab.getByRole('dialog', { name: 'Save your secret' }).waitFor()
    await person.saveSecret()
  })

  it('two calls that are refused at the same time share one question', async () => {
    const person = await signUp()
    const { page, row } = person
    for (const name of ['one', 'two']) {
      await page.getByRole('button', { name: 'Create key' }).click()
      await page.getByRole('dialog').getByLabel('Name').fill(name)
      await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
      await person.saveSecret()
      await person.choose(name, 'Disable')
      await row(name).getByText('Disabled').waitFor()
    }
    await ageSignIn(person)
    const held = Promise.withResolvers<void>()
    await page.route(/keys\.enable/, async (route) => {
      await held.promise
      await route.continue()
    })
    await person.choose('one', 'Enable')
    await person.choose('two', 'Enable')
    held.resolve()
    await question(page).waitFor()
    await confirm(page)
    await row('one').getByText('Disabled').waitFor({ state: 'detached' })
    await row('two').getByText('Disabled').waitFor({ state: 'detached' })
    expect(await question(page).count()).toBe(0)
  })
})
