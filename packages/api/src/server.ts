/** The runtime door of the product, for the process that serves it. */
export { type AuditFault, type AuditVerdict, verifyAudit } from './audit/verify.ts'
export { createAccessTokenVerifier } from './auth/verify-access-token.ts'
export type { ApiDeps } from './context.ts'
export { errorAnswer } from './error-answer.ts'
export { reasonOf } from './errors.ts'
export { KeyBrand } from './keys/token.ts'
export { requestIds } from './request-id.ts'
export { appRouter } from './router.ts'
