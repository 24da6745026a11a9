-- Stores the last use of the secrets of a batch and of their keys, at most once a minute for each of them. Every request with a
-- known secret is a use, also a refused request and a retry, because it shows that somebody has the secret. Otherwise a secret
-- that a backend uses while its account is suspended would count as lost, and keys.replaceLostSecret would end it.
create function keymeter.record_last_use(user_ids uuid[], key_hashes bytea[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  with used as (
    select secrets.user_id, secrets.key_hash, secrets.api_key_id,
           keymeter.account_time(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
      from (select distinct user_id, key_hash from unnest(user_ids, key_hashes) as asked (user_id, key_hash)) as given
      join public.api_key_secrets as secrets on secrets.user_id = given.user_id and secrets.key_hash = given.key_hash
      join public.billing_accounts as accounts on accounts.user_id = given.user_id
  ), used_secrets as (
    update public.api_key_secrets as secrets set last_used_at = used.moment
      from used
     where secrets.user_id = used.user_id and secrets.key_hash = used.key_hash
       and (secrets.last_used_at is null or secrets.last_used_at < used.moment - interval '1 minute')
  )
  update public.api_keys as keys set last_used_at = used.moment
    from (select distinct user_id, api_key_id, moment from used) as used
   where keys.user_id = used.user_id and keys.id = used.api_key_id
     and (keys.last_used_at is null or keys.last_used_at < used.moment - interval '1 minute');
end
$$;
