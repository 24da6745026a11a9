declare module 'fs-native-extensions' {
  /** Returns false if another process, or another open descriptor of this process, has locked the file. */
  export function tryLock(descriptor: number): boolean
}
