import { MemberRole } from '@keymeter/contract'

/** What each role means, for people who choose one. */
export const ROLE_TEXTS: Record<MemberRole, string> = {
  owner: 'Everything, also the members, the owners and the account itself.',
  admin: 'All keys, the members who are not owners, the alerts and the name of the account.',
  developer: 'Creates keys and changes those keys. Sees everything.',
  viewer: 'Sees everything and changes nothing.',
}

/** The names of the roles, as they begin a label. */
export const ROLE_NAMES: Record<MemberRole, string> = {
  owner: 'Owner',
  admin: 'Admin',
  developer: 'Developer',
  viewer: 'Viewer',
}

export const ROLE_OPTIONS = MemberRole.options.map((value) => ({ value, title: ROLE_NAMES[value], text: ROLE_TEXTS[value] }))
