/** Adds new mails to the list. The rows that are already there stay as they are, so the focus does not move. */
const REFRESH_INTERVAL_MS = 1000

async function refresh() {
  const list = document.getElementById('mails')
  const count = document.getElementById('count')
  if (list === null || count === null || document.hidden) return
  // While the server restarts, the list stays as it is.
  const response = await fetch('/dev/mail').catch(() => null)
  if (response?.ok !== true) return
  const page = new DOMParser().parseFromString(await response.text(), 'text/html')
  for (const row of [...list.children]) if (page.getElementById(row.id) === null) row.remove()
  for (const row of [...page.querySelectorAll('#mails > li')].reverse())
    if (document.getElementById(row.id) === null) list.prepend(row)
  // A screen reader reads the number when it changes.
  const text = page.getElementById('count')?.textContent ?? ''
  if (count.textContent !== text) count.textContent = text
}

setInterval(refresh, REFRESH_INTERVAL_MS)
