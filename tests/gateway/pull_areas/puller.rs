//! What comes into the registry, and pullers of some areas as they see it.

use std::collections::BTreeMap;

use ltcgw::sandbox::stage::Scene;
use ltcgw::store::registry::Put;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::registered::{caregiver, institution, put_caregiver, put_institution, store};
use crate::support::Gateway;

/// Pullers of one city each, of both, and of the whole autonomous region, beside the one of every area.
const BOUND: [(&str, &str); 4] = [
    ("of-nanning", "\"450100\""),
    ("of-liuzhou", "\"450200\""),
    ("of-both", "\"450200\", \"450100\""),
    ("of-guangxi", "\"450000\""),
];
pub const ALL: &str = "provincial-platform";
pub const NANNING: &str = "450103";
pub const LIUZHOU: &str = "450203";
pub const CHENGDU: &str = "510104";

fn bound(scene: Scene) -> Scene {
    let fields = "institution = [\"name\", \"division\", \"status\", \"uscc\"]\ncaregiver = [\"institution_id\", \"status\", \"working\", \"personal.name\"]";
    let entry = |(name, areas): (&str, &str)| {
        format!(
            "[[partner]]\nname = \"{name}\"\n[partner.inbound]\nsan = \"{name}.example\"\nrequests_per_second = 5000\n\
             routes = [\"GET /province/v1/institutions\", \"GET /province/v1/caregivers\", \"GET /province/v1/snapshot\", \"GET /fhir/**\"]\n\
             [partner.fields]\npurpose = \"a city's own platform\"\nareas = [{areas}]\n{fields}\n\n"
        )
    };
    let before = "[[partner]]\nname = \"provincial-platform\"";
    scene
        .edit(before, &format!("{}{before}", BOUND.map(entry).concat()))
        .edit(
            "requests_per_second = 50\n\n[partner.fields]",
            "requests_per_second = 5000\n\n[partner.fields]",
        )
}

/// What comes into the registry.
pub struct Source {
    pub gateway: Gateway,
}

impl Source {
    pub async fn start() -> Source {
        Source {
            gateway: Gateway::with(bound).await,
        }
    }

    pub fn institution(&self, id: &str, version: i64, division: &str) -> Put {
        let mut record = institution(id, version);
        record.division = division.into();
        put_institution(&self.gateway.running.gateway.registrar.keys, record)
    }

    pub fn caregiver(&self, id: &str, version: i64, institution_id: &str) -> Put {
        let mut record = caregiver(id, version);
        record.institution_id = institution_id.into();
        put_caregiver(&self.gateway.running.gateway.registrar.keys, record)
    }

    pub async fn put(&self, puts: &[Put]) {
        store(&self.gateway.running.gateway.registrar.registry, puts).await;
    }

    pub fn puller(&self, name: &str) -> Puller {
        Puller {
            client: self.gateway.stage.client(name).expect("a client"),
            port: self.gateway.running.server.partner.port(),
        }
    }
}

pub struct Puller {
    pub client: reqwest::Client,
    pub port: u16,
}

impl Puller {
    pub async fn get(&self, path: &str) -> reqwest::Response {
        let url = if path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("https://localhost:{}{path}", self.port)
        };
        self.client
            .get(url)
            .header("accept", "*/*")
            .send()
            .await
            .expect("an answer")
    }

    pub async fn json(&self, path: &str) -> (u16, Value) {
        let answer = self.get(path).await;
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"),
        )
    }

    /// Every change of a kind, as lines, and the cursor behind them; the digest is looked at.
    pub async fn follow(
        &self,
        route: &str,
        limit: u32,
        cursor: Option<String>,
    ) -> (Vec<String>, String) {
        let (mut lines, mut cursor, mut chain) = (Vec::new(), cursor, None);
        loop {
            let after = cursor
                .map(|cursor| format!("&cursor={cursor}"))
                .unwrap_or_default();
            let url = format!(
                "https://localhost:{}/province/v1/{route}?limit={limit}{after}",
                self.port
            );
            let answer = self
                .client
                .get(url)
                .header("accept", "application/x-ndjson")
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status().as_u16(), 200);
            let body = answer.text().await.expect("a body");
            let (items, trailer) = body
                .trim_end()
                .rsplit_once('\n')
                .map_or(("", body.trim_end()), |(items, trailer)| (items, trailer));
            let trailer: Value = serde_json::from_str(trailer).expect("a trailer");
            if after.is_empty() {
                chain = Some([0; 32]);
            }
            for line in items.lines() {
                chain = chain.map(|chain: [u8; 32]| {
                    Sha256::new()
                        .chain_update(chain)
                        .chain_update(line)
                        .finalize()
                        .into()
                });
                lines.push(line.to_owned());
            }
            if let Some(chain) = chain {
                let hex: String = data_encoding::HEXLOWER.encode(&chain);
                assert_eq!(trailer["trailer"]["digest"], hex);
            }
            let next = trailer["trailer"]["cursor"]
                .as_str()
                .expect("a cursor")
                .to_owned();
            if trailer["trailer"]["more"] == false {
                return (lines, next);
            }
            cursor = Some(next);
        }
    }

    /// Changes of a kind in short: what became of whom.
    pub async fn changes(&self, route: &str) -> Vec<String> {
        self.follow(route, 100, None)
            .await
            .0
            .iter()
            .map(|line| short(line))
            .collect()
    }

    /// Items by kind and id, and the trailer.
    pub async fn snapshot(&self) -> (BTreeMap<(String, String), String>, Value) {
        let body = self
            .get("/province/v1/snapshot")
            .await
            .text()
            .await
            .expect("a body");
        let (items, trailer) = body
            .trim_end()
            .rsplit_once('\n')
            .unwrap_or(("", body.trim_end()));
        let trailer: Value = serde_json::from_str(trailer).expect("a trailer");
        (
            items
                .lines()
                .map(|line| (key(line), line.to_owned()))
                .collect(),
            trailer["trailer"].clone(),
        )
    }

    /// Entries of a bundle in short.
    pub async fn fhir(&self, path: &str) -> Vec<String> {
        let (status, bundle) = self.json(&format!("/fhir/{path}")).await;
        assert_eq!(status, 200, "{bundle}");
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let short = |entry: &Value| match entry["request"]["method"].as_str() {
            Some(method) => {
                format!(
                    "{method} {}{}",
                    entry["request"]["url"].as_str().unwrap_or_default(),
                    if entry["resource"].is_null() {
                        ""
                    } else {
                        " whole"
                    }
                )
            }
            None => entry["resource"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        };
        entries.iter().map(short).collect()
    }
}

pub fn key(line: &str) -> (String, String) {
    let item: Value = serde_json::from_str(line).expect("an item");
    (
        item["kind"].as_str().expect("a kind").into(),
        item["id"].as_str().expect("an id").into(),
    )
}

/// `id version change`, with the reason of an end; whether there is a record must fit.
pub fn short(line: &str) -> String {
    let item: Value = serde_json::from_str(line).expect("an item");
    let word = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        item.get("record").is_none(),
        word("change") == "delete",
        "{line}"
    );
    format!(
        "{} {} {} {}",
        word("id"),
        item["version"],
        word("change"),
        word("reason")
    )
    .trim_end()
    .to_owned()
}
