import { exportAccount } from '@keymeter/api/server'
import type { Context } from 'hono'
import type { HttpEnv } from './http-env.ts'
import { type ExportRequest, serveExport } from './serve-export.ts'

export const ACCOUNT_EXPORT_PATH = '/export/account.json'

/** Streams all data of the caller's account as one JSON document. */
export async function serveAccountExport(request: ExportRequest, c: Context<HttpEnv>): Promise<Response> {
  return await serveExport(request, c, {
    call: 'export.account',
    chunks: exportAccount,
    contentType: 'application/json',
    name: 'keymeter-account',
    extension: 'json',
  })
}
