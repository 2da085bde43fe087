-- Events, by time: an id is (milliseconds since 2020-09-13T12:26:40Z) * 4096 + a counter.
CREATE TABLE events (
    partition smallint NOT NULL,
    epoch integer NOT NULL,
    id bigint NOT NULL,
    channel text COLLATE "C" NOT NULL,
    -- the event before it in its channel; known exactly, or at most this
    predecessor bigint NOT NULL,
    predecessor_known boolean NOT NULL,
    type text NOT NULL,
    -- UTF-8; no text, since an event may hold a NUL
    data bytea,
    attributes jsonb NOT NULL,
    retry bigint,
    time text,
    ends boolean NOT NULL,
    PRIMARY KEY (id, partition, epoch)
) PARTITION BY RANGE (id);
CREATE INDEX events_of_channel ON events (channel, id);

-- Tables of events, each for the ids from (including) to (not including).
CREATE TABLE event_tables (
    name text PRIMARY KEY,
    from_id bigint NOT NULL,
    to_id bigint NOT NULL
);

-- What the archive has: of these channels of a partition, every event after from_id up to and
-- including through_id. The newest span of a partition is where the writer stands.
CREATE TABLE spans (
    partition smallint NOT NULL,
    number integer NOT NULL,
    partitions smallint NOT NULL,
    epoch integer NOT NULL,
    from_id bigint NOT NULL,
    through_id bigint NOT NULL,
    channels text[] NOT NULL,
    -- whether this epoch of the log surely had nothing after through_id
    closed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (partition, number)
);

-- What is, or may be, missing all the same; of any channel where none is named.
CREATE TABLE holes (
    partition smallint NOT NULL,
    after_id bigint NOT NULL,
    until_id bigint NOT NULL,
    reason text NOT NULL,
    certain boolean NOT NULL,
    channels text[] NOT NULL,
    found timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX holes_by_place ON holes (partition, until_id);

-- Channels that were purged, and up to where: events up to there are not written any more.
CREATE TABLE purges (
    channel text COLLATE "C" PRIMARY KEY,
    until_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Events up to here were dropped since they were too old.
CREATE TABLE dropped (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    until_id bigint NOT NULL
);
INSERT INTO dropped (until_id) VALUES (0);

-- Which replica writes, and how long that holds.
CREATE TABLE writer (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder text NOT NULL,
    term bigint NOT NULL DEFAULT 1,
    until timestamptz NOT NULL
);

-- Streams of receivers that gave themselves a name (client=NAME).
CREATE TABLE clients (
    connection text PRIMARY KEY,
    name text NOT NULL,
    subject text,
    address text,
    replica text NOT NULL,
    channels text[] NOT NULL,
    connected timestamptz NOT NULL,
    -- when the figures were these
    seen timestamptz NOT NULL,
    ended timestamptz,
    delivered bigint NOT NULL,
    filtered bigint NOT NULL,
    dropped bigint NOT NULL
);
CREATE INDEX clients_by_name ON clients (name, connected);
CREATE INDEX clients_by_time ON clients (seen);

-- For people.
CREATE VIEW readable_events AS
SELECT to_timestamp((id / 4096 + 1600000000000) / 1000.0) AS published,
       channel, type,
       CASE WHEN position('\x00'::bytea IN data) = 0 THEN convert_from(data, 'UTF8') END AS data,
       attributes, time, ends, id, partition, epoch
FROM events;
