//! How much of a platform's limit is used: three instances on one database push a registry to civil affairs for a
//! minute, once undisturbed and once while the instance that sends is killed.
//!
//! The platform counts what arrives, and how often more came within a second than it allows. The yardstick is the
//! limit itself.

use std::time::{Duration, Instant};

use ltcgw::sandbox::partners::{Most, PartnerTls, SimulatedPartner, SimulationOptions};
use ltcgw::sandbox::stage::Scene;
use serde_json::json;

use crate::stand::{Gateway, Stand};
use crate::{Done, client};

const LIMIT: u32 = 20;
/// The limits of civil affairs in partners.toml.
const SHIPPED: &str = "requests_per_second = 5\nburst = 10                                      # after a pause; without it requests leave evenly\nrequests_per_day = 20000                        # of a calendar day, Asia/Shanghai\n";
const DESTINATION: &str = "civil-affairs";

pub async fn run(seconds: u64) -> Done {
    println!(
        "\nlimit: three instances, {LIMIT} requests a second to one platform for {seconds} s; the second time the instance that sends is killed"
    );
    for (killed, wanted) in [(false, 0.97), (true, 0.88)] {
        let mut platform = None;
        let stand = Stand::with(|scene| {
            let (civil, scene) = platform_of(scene)?;
            platform = Some(civil);
            Ok(scene)
        })?;
        let platform = platform.ok_or("the stand was not made")?;
        let mut instances = vec![stand.gateway()?, stand.another(1)?, stand.another(2)?];
        load(&stand, u64::from(LIMIT) * (seconds + 10)).await?;
        // From the moment at which it is under way.
        while platform.tally().deliveries < u64::from(LIMIT) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (start, before) = (Instant::now(), platform.tally().deliveries);
        let mut gap = Duration::ZERO;
        if killed {
            tokio::time::sleep_until((start + Duration::from_secs(seconds / 3)).into()).await;
            kill(&mut instances).await?;
            gap = stands_still(&platform).await;
        }
        tokio::time::sleep_until((start + Duration::from_secs(seconds)).into()).await;
        let tally = platform.tally();
        let used = (tally.deliveries - before) as f64 / (f64::from(LIMIT) * seconds as f64);
        let what = if killed {
            format!("one killed, nothing sent for {:.1} s", gap.as_secs_f64())
        } else {
            "undisturbed".into()
        };
        println!(
            "  {what}: {} over the limit, at most {} in a second",
            tally.over_limit, tally.most_in_a_second
        );
        println!(
            "  RATIO limit {}{used:.3} (wanted: at least {wanted:.2}, and 0 over)",
            if killed { "killed " } else { "" }
        );
    }
    Ok(())
}

/// Civil affairs with a limit of its own, and a gateway that is told of it.
fn platform_of(scene: Scene) -> Done<(SimulatedPartner, Scene)> {
    let server = scene.authority.server(&["localhost"])?;
    let tls = PartnerTls {
        certificate_pem: server.certificate_pem,
        key_pem: server.key_pem,
        client_ca_pem: scene.authority.certificate_pem(),
    };
    let most = Most {
        requests_per_second: Some(LIMIT),
        ..Most::default()
    };
    let civil = SimulatedPartner::civil(
        &tls,
        SimulationOptions {
            most,
            ..SimulationOptions::default()
        },
    )?;
    let scene = Scene {
        civil_affairs: civil.url().to_string(),
        ..scene
    }
    .edit(SHIPPED, &format!("requests_per_second = {LIMIT}\n"))
    .edit("records_per_request = 50", "records_per_request = 1");
    Ok((civil, scene))
}

/// Ends the instance that holds the destination, without a last word.
async fn kill(instances: &mut Vec<Gateway>) -> Done {
    let held = format!("ltcgw_lease_held{{destination=\"{DESTINATION}\"}} 1");
    for at in 0..instances.len() {
        if instances[at].metrics().await?.contains(&held) {
            return instances.remove(at).kill();
        }
    }
    Err("nobody holds the destination".into())
}

/// How long nothing arrives from now on.
async fn stands_still(platform: &SimulatedPartner) -> Duration {
    let (start, before) = (Instant::now(), platform.tally().deliveries);
    while platform.tally().deliveries == before && start.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Institutions that civil affairs is to be told of.
async fn load(stand: &Stand, count: u64) -> Done {
    let lines: Vec<String> = (0..count)
        .map(|n| json!({ "institution": institution(&format!("E{n}")) }).to_string())
        .collect();
    let body = lines.join("\n");
    let mut connection = client::Connection::open(
        &client::identity(stand.pki(), "ltc-system")?,
        stand.partner_port(),
    )
    .await?;
    connection
        .send(
            format!(
                "POST /ltc/v1/registry HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await?;
    connection.send(body.as_bytes()).await?;
    let (status, summary) = connection.streamed().await?;
    if status == 200 && summary.contains(&format!("\"stored\":{count},")) {
        Ok(())
    } else {
        Err(format!("the load was answered with {status}: {summary}").into())
    }
}

fn institution(id: &str) -> serde_json::Value {
    json!({
        "institution_id": id, "version": 1, "uscc": "91350100M000100Y43", "name": format!("康宁 {id}"), "division": "450103", "kind": "elderly_care",
        "address": "民族大道1号", "modes": ["residential"], "beds": 100, "care_beds": 40,
        "licence": { "number": "PDY-88", "expires_on": "2028-01-01" },
        "agreement": { "number": "A1", "signed_on": "2025-12-20", "valid_from": "2026-01-01", "valid_to": "2027-12-31" },
        "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }],
        "medical_insurance_designated": true, "registered_on": "2025-12-20",
        "personal": { "legal_representative": "赵法定", "contact": "钱联系", "phone": "13700137000" }
    })
}
