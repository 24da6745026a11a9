import { describe, expect, it } from 'vitest'
import { warnAboutPlainConnections } from './warn-about-plain-connections.ts'

function warnings(urls: { supabaseUrl?: string; databaseUrl?: string; databaseDirectUrl?: string }): string[] {
  const lines: string[] = []
  const databaseUrl = urls.databaseUrl ?? 'postgresql://u:p@127.0.0.1/d'
  warnAboutPlainConnections(
    { supabaseUrl: 'https://x.supabase.co', databaseDirectUrl: databaseUrl, ...urls, databaseUrl },
    { warn: (line: string) => lines.push(line) },
  )
  return lines
}

describe('a warning about connections without encryption', () => {
  it('the server warns once about each connection that others could read, and names the setting to change', () => {
    expect(warnings({ supabaseUrl: 'http://auth.example' })).toEqual([
      expect.stringMatching(/set SUPABASE_URL to an https URL/),
    ])
    for (const end of ['', '?sslmode=disable', '?ssl=0', '?application_name=x'])
      expect([end, warnings({ databaseUrl: `postgresql://u:p@db.example/d${end}` })]).toEqual([
        end,
        [expect.stringMatching(/sslmode=verify-full.* to DATABASE_URL$/)],
      ])
    const pooled = { databaseUrl: 'postgresql://u:p@pooler.example:6543/d?sslmode=verify-full' }
    expect(warnings({ ...pooled, databaseDirectUrl: 'postgresql://u:p@10.0.0.1/d' })).toEqual([
      expect.stringMatching(/to DATABASE_DIRECT_URL$/),
    ])
  })

  it('the server does not warn about an encrypted connection, or about a connection within the machine', () => {
    for (const supabaseUrl of ['https://x.supabase.co', 'http://127.0.0.1:54321', 'http://localhost', 'http://[::1]:80'])
      expect([supabaseUrl, warnings({ supabaseUrl })]).toEqual([supabaseUrl, []])
    for (const databaseUrl of [
      'postgresql://u:p@db.example/d?sslmode=verify-full',
      'postgresql://u:p@db.example/d?sslmode=require',
      'postgresql://u:p@db.example/d?sslmode=no-verify',
      'postgresql://u:p@localhost/d',
      'postgresql://u:p@127.0.0.2:5433/d',
      'postgresql://u:p@[::1]/d',
      'postgresql://u:p@/d?host=/var/run/postgresql',
    ])
      expect([databaseUrl, warnings({ databaseUrl })]).toEqual([databaseUrl, []])
  })

  it('the warnings do not contain a URL, because a URL can contain a password', () => {
    const lines = warnings({ supabaseUrl: 'http://u:p4ss@auth.example', databaseUrl: 'postgresql://u:p4ss@db.example/d' })
    expect(lines).toHaveLength(2)
    expect(lines.join()).not.toMatch(/p4ss|example/)
  })
})
