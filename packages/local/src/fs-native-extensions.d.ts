declare module 'fs-native-extensions' {
  /** Returns false when another open file holds the lock. */
  export function tryLock(descriptor: number): boolean
}
