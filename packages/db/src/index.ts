export { answers } from './answers.ts'
export { createDb, type Db } from './client.ts'
export type { DB } from './schema.gen.ts'
