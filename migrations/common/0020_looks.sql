-- How an organization's pages look. Apart from the organization itself, which every sign-in reads.
CREATE TABLE organization_looks (
    organization_id TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id),
    accent_light TEXT,
    accent_dark TEXT,
    logo TEXT,
    CHECK ((accent_light IS NULL) = (accent_dark IS NULL))
);
