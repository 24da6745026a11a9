-- Returns the hash of one entry in an account's audit log: SHA-256 over the previous hash (nothing for the first entry),
-- followed by the fields of the entry. Each field is written as its length in bytes, a colon and its text, and a null as `-`.
-- Commas separate the fields. So two different entries never have the same text. packages/api/src/audit/chain.ts computes the
-- same hash.
create function keymeter.audit_hash(previous bytea, entry public.audit_log) returns bytea
  language sql stable set search_path = ''
  as $$
    select sha256(coalesce(previous, '') || convert_to(string_agg(coalesce(octet_length(field) || ':' || field, '-'), ',' order by n), 'UTF8'))
      from unnest(array[entry.user_id::text, entry.sequence::text, entry.actor, entry.actor_id::text, entry.action, entry.api_key_id::text, entry.detail::text,
                        entry.request_id, entry.client_address, entry.user_agent, keymeter.iso_time(entry.created_at)])
             with ordinality as fields (field, n)
  $$;
