-- Stores the present address of the member of the call in all memberships, for lists and the activity.
create function keymeter.note_member_email(email text) returns void
  language sql volatile security definer set search_path = ''
  as $$
    update public.account_members as members set email = note_member_email.email
     where members.member_id = keymeter.current_member() and members.email is distinct from note_member_email.email
  $$;
