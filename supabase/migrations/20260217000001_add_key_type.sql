-- Key types are labels for now: a dev key and a prod key spend the same credits.
ALTER TABLE api_keys ADD COLUMN key_type TEXT NOT NULL DEFAULT 'dev' CHECK (key_type IN ('dev', 'prod'));
