-- What each role of Rushes may do in PostgreSQL, and no more. For psql, by an administrator, in the database of Rushes:
--
--     psql --dbname rushes --file postgresql.sql
--
-- once before the first `migrate`, and again after each migration. It may be run at any time: services go on meanwhile.
-- The tables of a new migration are open to the services from the start (default privileges); the next run narrows them.
--
-- The roles here cannot log in. Make a user for each process that is one of them; docs/security.md shows how, and how
-- its password is changed while it works.

\set ON_ERROR_STOP on
BEGIN;

SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(ARRAY[
    'rushes_migration',  -- owns the schemas: `migrate` of all services
    'rushes_control',    -- intake, relay and janitor of the normalizer; `absences --accept`, `republish`
    'rushes_worker',     -- the normalizer's workers
    'rushes_syncer',     -- the syncer, all of its roles; `full`
    'rushes_kitsu',      -- the bridge to Kitsu, all of its commands but `migrate`
    'rushes_reader',     -- `attention`, `history`, `absences`, `renormalize`, `api`
    'rushes_scaler'      -- KEDA's look into the queue
]) AS name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- The database is Rushes' own: nobody else connects.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME"
    TO rushes_migration, rushes_control, rushes_worker, rushes_syncer, rushes_kitsu, rushes_reader, rushes_scaler;

CREATE SCHEMA IF NOT EXISTS normalizer;
CREATE SCHEMA IF NOT EXISTS syncer;
CREATE SCHEMA IF NOT EXISTS kitsu;
ALTER SCHEMA normalizer OWNER TO rushes_migration;
ALTER SCHEMA syncer OWNER TO rushes_migration;
ALTER SCHEMA kitsu OWNER TO rushes_migration;
-- What another user migrated before this script was there.
SELECT format('ALTER TABLE %I.%I OWNER TO rushes_migration', schemaname, tablename)
FROM pg_tables WHERE schemaname IN ('normalizer', 'syncer', 'kitsu') AND tableowner <> 'rushes_migration' \gexec
SELECT format('ALTER SEQUENCE %I.%I OWNER TO rushes_migration', schemaname, sequencename)
FROM pg_sequences WHERE schemaname IN ('normalizer', 'syncer', 'kitsu') AND sequenceowner <> 'rushes_migration' \gexec

GRANT USAGE ON SCHEMA normalizer TO rushes_control, rushes_worker, rushes_reader, rushes_scaler;
GRANT USAGE ON SCHEMA syncer TO rushes_syncer;
GRANT USAGE ON SCHEMA kitsu TO rushes_kitsu;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA normalizer
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rushes_control, rushes_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA normalizer
    GRANT USAGE ON SEQUENCES TO rushes_control, rushes_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA normalizer GRANT SELECT ON TABLES TO rushes_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA syncer
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rushes_syncer;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA syncer GRANT USAGE ON SEQUENCES TO rushes_syncer;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA kitsu
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rushes_kitsu;
ALTER DEFAULT PRIVILEGES FOR ROLE rushes_migration IN SCHEMA kitsu GRANT USAGE ON SEQUENCES TO rushes_kitsu;

REVOKE ALL ON ALL TABLES IN SCHEMA normalizer FROM rushes_control, rushes_worker, rushes_reader, rushes_scaler;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA normalizer FROM rushes_control, rushes_worker, rushes_reader, rushes_scaler;
REVOKE ALL ON ALL TABLES IN SCHEMA syncer FROM rushes_syncer;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA syncer FROM rushes_syncer;
REVOKE ALL ON ALL TABLES IN SCHEMA kitsu FROM rushes_kitsu;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA kitsu FROM rushes_kitsu;

SELECT format('GRANT %s ON %I.%I TO %I', privileges, schema, relation, role) FROM (VALUES
    ('rushes_control', 'normalizer', 'alembic_version',   'SELECT'),
    ('rushes_control', 'normalizer', 'instance',          'SELECT'),
    ('rushes_control', 'normalizer', 'inbox',             'SELECT, INSERT, DELETE'),
    ('rushes_control', 'normalizer', 'preview_file',      'SELECT, INSERT, UPDATE'),
    ('rushes_control', 'normalizer', 'request',           'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_control', 'normalizer', 'task',              'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_control', 'normalizer', 'attempt',           'SELECT, INSERT, DELETE'),
    ('rushes_control', 'normalizer', 'outbox',            'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_control', 'normalizer', 'role_lease',        'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_control', 'normalizer', 'absent_source',     'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_control', 'normalizer', 'absences_accepted', 'SELECT, INSERT, UPDATE'),
    ('rushes_control', 'normalizer', 'fence',             'SELECT, UPDATE'),  -- `republish --after-restore` raises it
    ('rushes_worker',  'normalizer', 'alembic_version',   'SELECT'),
    ('rushes_worker',  'normalizer', 'instance',          'SELECT'),
    ('rushes_worker',  'normalizer', 'preview_file',      'SELECT, INSERT, UPDATE'),  -- one statement saves both ways
    ('rushes_worker',  'normalizer', 'request',           'SELECT, UPDATE'),
    ('rushes_worker',  'normalizer', 'task',              'SELECT, INSERT, UPDATE'),
    ('rushes_worker',  'normalizer', 'attempt',           'SELECT, INSERT'),
    ('rushes_worker',  'normalizer', 'outbox',            'INSERT'),
    ('rushes_worker',  'normalizer', 'absent_source',     'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_worker',  'normalizer', 'absences_accepted', 'SELECT'),
    ('rushes_worker',  'normalizer', 'fence',             'USAGE'),
    ('rushes_scaler',  'normalizer', 'task',              'SELECT'),
    ('rushes_syncer',  'syncer',     'alembic_version',   'SELECT'),
    ('rushes_syncer',  'syncer',     'instance',          'SELECT'),
    ('rushes_syncer',  'syncer',     'inbox',             'SELECT, INSERT, DELETE'),
    ('rushes_syncer',  'syncer',     'site',              'SELECT, INSERT, UPDATE'),
    ('rushes_syncer',  'syncer',     'site_partition',    'SELECT, INSERT, UPDATE'),
    ('rushes_syncer',  'syncer',     'site_preview',      'SELECT, INSERT, UPDATE'),
    ('rushes_syncer',  'syncer',     'held',              'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'pass',              'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'difference',        'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'task',              'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'attempt',           'SELECT, INSERT, DELETE'),
    ('rushes_syncer',  'syncer',     'outbox',            'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'role_lease',        'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_syncer',  'syncer',     'fence',             'USAGE'),
    ('rushes_kitsu',   'kitsu',      'alembic_version',   'SELECT'),
    ('rushes_kitsu',   'kitsu',      'instance',          'SELECT'),
    ('rushes_kitsu',   'kitsu',      'inbox',             'SELECT, INSERT, DELETE'),
    ('rushes_kitsu',   'kitsu',      'dispatch',          'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'announced',         'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'registered',        'SELECT, INSERT'),
    ('rushes_kitsu',   'kitsu',      'zou_events_read',   'SELECT, INSERT, UPDATE'),
    ('rushes_kitsu',   'kitsu',      'import_progress',   'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'task',              'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'attempt',           'SELECT, INSERT, DELETE'),
    ('rushes_kitsu',   'kitsu',      'outbox',            'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'role_lease',        'SELECT, INSERT, UPDATE, DELETE'),
    ('rushes_kitsu',   'kitsu',      'fence',             'USAGE')
) AS wanted (role, schema, relation, privileges)
WHERE to_regclass(format('%I.%I', schema, relation)) IS NOT NULL \gexec
GRANT SELECT ON ALL TABLES IN SCHEMA normalizer TO rushes_reader;

COMMIT;
