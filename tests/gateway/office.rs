//! A desk where months are planned, approved and run, with nobody who would send anything.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use ltcgw::adapter::Catalog;
use ltcgw::config::Config;
use ltcgw::flow::clock::CityClock;
use ltcgw::flow::deduct::{DeductionPartners, DeductionRefusal, Desk, Of};
use ltcgw::ledger::RateBook;
use ltcgw::model::Month;
use ltcgw::model::signer::Signer;
use ltcgw::sandbox::stage::Scene;
use ltcgw::store::deduction::Cycle;
use ltcgw::store::{DatabaseAccess, Store};
use tempfile::TempDir;

use crate::support::{database, project};

pub fn october() -> Of {
    Of {
        area: 450_100,
        month: month(10),
    }
}

pub fn november() -> Of {
    Of {
        area: 450_100,
        month: month(11),
    }
}

pub fn month(number: i8) -> Month {
    Month::new(2021, number).expect("a month")
}

/// Somebody without a login.
pub fn by(name: &str) -> Signer {
    Signer::new(name, None).expect("a name")
}

/// Plans, in the place of an earlier plan if there is one.
pub async fn plan_anew(desk: &Desk, of: Of, name: &str) -> Cycle {
    let earlier = desk
        .see(of)
        .await
        .map(|seen| HEXLOWER.encode(&seen.cycle.digest));
    match earlier {
        Ok(digest) => desk
            .plan_in_place(of, &by(name), &digest)
            .await
            .unwrap_or_else(|refusal| panic!("{:?}", refusal.fault)),
        Err(_) => desk
            .plan(of, &by(name))
            .await
            .unwrap_or_else(|refusal| panic!("{:?}", refusal.fault)),
    }
}

/// A desk on a database of its own, with nobody running who would send anything.
pub struct Office {
    pub desk: Desk,
    pub database: tokio_postgres::Config,
}

impl Office {
    /// Three people a request.
    pub async fn open() -> Office {
        let dir = TempDir::with_prefix("ltcgw-stage-").expect("a temporary folder");
        ltcgw::link::install_provider();
        let scene = Scene::new(project(), dir.path())
            .expect("a scene")
            .edit("records_per_request = 2000", "records_per_request = 3");
        let scene = scene.edit(
            "areas = [\"450100\"]",
            "areas = [\"450100\", \"500100\", \"510100\"]",
        );
        let stage = scene.build().expect("a stage");
        let config = Config::load(&stage.config_dir).expect("the configuration");
        let catalog = Catalog::load(&config.gateway.adapters_dir).expect("the adapters");
        let partners = DeductionPartners::of(&config.partners, &catalog).into();
        let book = Arc::new(RateBook::load(&project().join("config/rates")).expect("the rates"));
        let database = database().await;
        let store = Store::open(DatabaseAccess::local(database.clone()), &[])
            .await
            .expect("a store");
        Office {
            desk: Desk {
                store,
                book,
                clock: CityClock::default(),
                partners,
                same_login: true,
            },
            database,
        }
    }

    /// Six people: four instructed, two left out; one has a base of their own from November on.
    pub async fn with_roster() -> Office {
        let office = Office::open().await;
        office
            .sql(
                "INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, category, account, employer_no, district, base_fen) VALUES
                    (450100, 'P1', 202101, 1, 'active', true, 'E1', 450102, 400000),
                    (450100, 'P2', 202101, 1, 'retired', true, NULL, 450102, 300000),
                    (450100, 'P3', 202101, 1, 'active', false, 'E1', 450103, 500000),
                    (450100, 'P4', 202101, 1, 'flexible', true, NULL, 450103, 200000),
                    (450100, 'P4', 202109, 2, 'flexible', true, NULL, 450103, 210000),
                    (450100, 'P4', 202111, 3, 'flexible', true, NULL, 450103, 220000),
                    (450100, 'P5', 202101, 1, 'active', true, 'E1', 450102, 0),
                    (450100, 'P6', 202101, 1, 'active', true, 'E1', 450102, 100000),
                    (450100, 'P6', 202110, 3, NULL, false, NULL, 450102, NULL),
                    (450100, 'P7', 202110, 3, 'unemployed', true, NULL, 450102, 100000),
                    (450100, 'P8', 202111, 4, 'active', true, 'E1', 450102, 100000),
                    (460000, 'P9', 202101, 1, 'active', true, 'E1', 460100, 100000)",
            )
            .await;
        office
    }

    pub async fn sql(&self, sql: &str) -> String {
        let (client, connection) = self
            .database
            .connect(tokio_postgres::NoTls)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        let rows = client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let values = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|at| row.get(at).unwrap_or("-"))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            _ => None,
        });
        values.collect::<Vec<_>>().join("; ")
    }

    /// Planned by Li and approved by Wang.
    pub async fn approved(&self, of: Of) -> Cycle {
        let plan = plan_anew(&self.desk, of, "Li").await;
        self.desk
            .approve(of, &by("Wang"), &HEXLOWER.encode(&plan.digest)[..8])
            .await
            .expect("an approval")
    }

    pub async fn run(&self, of: Of) -> Result<Cycle, DeductionRefusal> {
        self.desk.run(of, &by("Wang")).await
    }

    /// Plays the transfer: the core answered everybody, short are those named.
    pub async fn settle(&self, cycle: &Cycle, short: &[&str], handling: &str) {
        let (id, round) = (cycle.cycle_id, cycle.rounds);
        let short = short.join("','");
        self.sql(&format!(
            "INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen)
                SELECT d.cycle_id, d.person_no, {round}, b.batch_no,
                    CASE WHEN d.person_no IN ('{short}') THEN 'insufficient_balance' ELSE 'deducted' END::deduction_outcome,
                    CASE WHEN d.person_no IN ('{short}') THEN 0 ELSE d.fen END
                FROM deduction d JOIN deduction_batch b ON b.cycle_id = d.cycle_id AND b.round = {round} AND d.person_no BETWEEN b.first_person AND b.last_person
                WHERE d.cycle_id = {id} AND ({round} = 1 OR EXISTS (SELECT FROM deduction_result r WHERE r.cycle_id = {id} AND r.person_no = d.person_no
                    AND r.round = {round} - 1 AND r.outcome = 'insufficient_balance'));
             UPDATE deduction_batch SET answered = people, answered_at = now() WHERE cycle_id = {id} AND round = {round};
             INSERT INTO shortfall (pooling_area, person_no, cycle_id, fen, handling)
                SELECT 450100, person_no, cycle_id, due_fen, '{handling}' FROM deduction WHERE cycle_id = {id} AND person_no IN ('{short}')
                ON CONFLICT (pooling_area, person_no, cycle_id) DO UPDATE SET carried_into = NULL;
             UPDATE delivery SET state = 'delivered', reference = 'R', outcome = 'accepted', settled_at = now() WHERE subject_id = ({id})::text;
             UPDATE deduction_cycle SET state = 'settled', settled_at = now() WHERE cycle_id = {id}"
        ))
        .await;
    }
}
