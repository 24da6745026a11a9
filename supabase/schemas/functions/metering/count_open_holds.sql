-- Counts the open holds of an account, up to the maximum. The scan of credit_holds_open_idx starts at `moment`. So it skips the
-- index entries of expired holds that vacuum has not removed yet.
create function keymeter.count_open_holds(account uuid, moment timestamptz) returns int
  language plpgsql stable set search_path = ''
  as $$
begin
  return (select count(*) from (select from public.credit_holds as holds
                                 where holds.user_id = account and holds.outcome is null and holds.expires_at > moment
                                 limit keymeter.max_open_holds()) as open);
end
$$;
