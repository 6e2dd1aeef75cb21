BEGIN TRANSACTION;
CREATE TABLE campaigns (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	text TEXT NOT NULL, 
	settings TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "campaigns" VALUES(1,'old','[campaign]','{"a":0.1}',7,'finished',1.5);
CREATE TABLE candidates (
	id INTEGER NOT NULL, 
	campaign_id INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	flow_id INTEGER NOT NULL, 
	point_id INTEGER NOT NULL, 
	author TEXT NOT NULL, 
	hypothesis TEXT NOT NULL, 
	parents TEXT NOT NULL, 
	tier TEXT NOT NULL, 
	status TEXT, 
	duplicate_of INTEGER, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (campaign_id, round, slot), 
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id), 
	FOREIGN KEY(flow_id) REFERENCES flows (id), 
	FOREIGN KEY(point_id) REFERENCES points (id), 
	FOREIGN KEY(duplicate_of) REFERENCES candidates (id)
);
INSERT INTO "candidates" VALUES(1,1,0,0,'dense',1,1,'control','','[]','control','ok',NULL,2.5);
CREATE TABLE environments (
	id INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
INSERT INTO "environments" VALUES(1,'e','{"cpu":"x"}');
CREATE TABLE events (
	id INTEGER NOT NULL, 
	campaign_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	data TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id)
);
INSERT INTO "events" VALUES(1,1,'started','{}',1.0);
CREATE TABLE flows (
	id INTEGER NOT NULL, 
	text_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	name TEXT NOT NULL, 
	source TEXT NOT NULL, 
	graph_json TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (text_hash)
);
INSERT INTO "flows" VALUES(1,'t','text-h','dense','# dense',NULL);
CREATE TABLE points (
	id INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	settings TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
INSERT INTO "points" VALUES(1,'dfb3cbd4397a','{"model":"probe","engine":"embedded","block_size":16,"topk_val":0,"topk_ratio":0.125,"block_reserved_bos":1,"block_reserved_eos":2,"layers_skip":[],"dtype":"float32"}');
CREATE TABLE rows (
	id INTEGER NOT NULL, 
	candidate_id INTEGER NOT NULL, 
	stage TEXT NOT NULL, 
	problem TEXT NOT NULL, 
	repeat INTEGER NOT NULL, 
	score DOUBLE NOT NULL, 
	exact DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (candidate_id, stage, problem, repeat), 
	FOREIGN KEY(candidate_id) REFERENCES candidates (id)
);
INSERT INTO "rows" VALUES(1,1,'retrieval','single-1k/7/0',0,0.1,0.0,0.25,'{"text":"a"}');
INSERT INTO "rows" VALUES(2,1,'retrieval','single-1k/7/1',0,1.0,0.0,0.25,'{"text":"a"}');
CREATE TABLE stage_results (
	id INTEGER NOT NULL, 
	candidate_id INTEGER NOT NULL, 
	environment_id INTEGER, 
	stage TEXT NOT NULL, 
	status TEXT NOT NULL, 
	code TEXT NOT NULL, 
	message TEXT NOT NULL, 
	metrics TEXT NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (candidate_id, stage), 
	FOREIGN KEY(candidate_id) REFERENCES candidates (id), 
	FOREIGN KEY(environment_id) REFERENCES environments (id)
);
INSERT INTO "stage_results" VALUES(1,1,1,'retrieval','ok','','','{"retrieval":{"value":0.5,"low":0.4,"high":0.6,"count":2}}','{}');
CREATE TABLE vortex_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT vortex_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "vortex_version" VALUES('0001');
CREATE INDEX ix_flows_hash ON flows (hash);
CREATE INDEX ix_candidates_pair ON candidates (flow_id, point_id);
CREATE INDEX ix_events_campaign_id ON events (campaign_id);
COMMIT;
