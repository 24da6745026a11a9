import { describe, expect, it } from 'vitest'
import { clientAddress } from './client-address.ts'

describe('address of a client', () => {
  it('the address of a client is the address of the socket if no proxy is trusted, even if a header contains another address', () => {
    expect(clientAddress('192.0.2.1', '198.51.100.7', 0)).toBe('192.0.2.1')
    expect(clientAddress(undefined, '198.51.100.7', 0)).toBeNull()
  })

  it('the address of a client is the header entry of the outermost trusted proxy, not an earlier entry, which can be forged', () => {
    expect(clientAddress('10.0.0.1', 'forged, 198.51.100.7', 1)).toBe('198.51.100.7')
    expect(clientAddress('10.0.0.1', 'forged, 198.51.100.7, 10.0.0.2', 2)).toBe('198.51.100.7')
    expect(clientAddress('10.0.0.1', '198.51.100.7', 2)).toBeNull()
    expect(clientAddress('10.0.0.1', undefined, 1)).toBeNull()
  })
})
