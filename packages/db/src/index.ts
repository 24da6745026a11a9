export { createDb, type Db } from './client.ts'
export { listen } from './listen.ts'
export { ping } from './ping.ts'
export type { DB } from './schema.gen.ts'
