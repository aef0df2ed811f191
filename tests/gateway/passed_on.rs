//! Partners who come through a TLCP gateway in front, and everybody else who says so.

use ltcgw::sandbox::pki::IssuedCertificate;
use ltcgw::sandbox::stage::Scene;

use crate::packet::{Line, Packet};
use crate::support::{Gateway, receipt};

/// A gateway behind a TLCP gateway whose clients' authority is the stage's own.
async fn behind() -> Gateway {
    behind_with(|scene| scene).await
}

async fn behind_with(change: impl FnOnce(Scene) -> Scene) -> Gateway {
    Gateway::with(|scene| {
        change(scene)
            .edit(
                "# gateways = [{ name = \"tlcp-1\"",
                "gateways = [{ name = \"tlcp-1\"",
            )
            .edit(
                "# client_ca = \"pki/tlcp-ca.pem\"",
                "client_ca = \"pki/ca.pem\"",
            )
            .edit("# crl = \"pki/tlcp-crl.pem\"", "crl = \"pki/crl.pem\"")
    })
    .await
}

fn header(issued: &IssuedCertificate) -> String {
    use base64::Engine;
    format!(
        ":{}:",
        base64::engine::general_purpose::STANDARD.encode(&issued.certificate_der)
    )
}

async fn post(
    gateway: &Gateway,
    own: &IssuedCertificate,
    headers: &[(&str, String)],
) -> (u16, String) {
    let client = gateway
        .stage
        .client_with(Some(&(own.certificate_pem.clone(), own.key_pem.clone())))
        .expect("a client");
    let body: Vec<u8> = Packet::employers("P1", [Line::employer("1")]).into();
    let request = client.post(gateway.url("/tax/v1/packets")).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, value)
    });
    receipt(request.send().await.expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_comes_through_the_gateway_listed_and_through_no_other() {
    let gateway = behind().await;
    let issued = |san: &str| gateway.stage.authority.client(san).expect("issued");
    let (front, tax, core) = (
        issued("tlcp.nanning.example"),
        issued("tax.nanning.example"),
        issued("core.nanning.example"),
    );
    for (own, headers, expected) in [
        (
            &tax,
            vec![("client-cert", header(&core))],
            "taken only from a TLCP gateway",
        ),
        (
            &tax,
            vec![("client-cert", header(&tax))],
            "taken only from a TLCP gateway",
        ),
        (
            &tax,
            vec![("client-cert-chain", header(&tax))],
            "taken only from a TLCP gateway",
        ),
        (&front, vec![], "there is none"),
        (
            &front,
            vec![
                ("client-cert", header(&tax)),
                ("client-cert", header(&core)),
            ],
            "holds no certificate",
        ),
        (
            &front,
            vec![("client-cert", header(&issued("stranger.example")))],
            "belongs to no partner",
        ),
        (
            &front,
            vec![("client-cert", header(&front))],
            "belongs to no partner",
        ),
    ] {
        let (status, text) = post(&gateway, own, &headers).await;
        assert!(
            status == 403 && text.contains(expected),
            "{headers:?}: {status} {text}"
        );
    }
    assert_eq!(
        post(&gateway, &front, &[("client-cert", header(&core))])
            .await
            .0,
        404,
        "the core has no such route"
    );
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "0");
    assert_eq!(
        post(&gateway, &front, &[("client-cert", header(&tax))])
            .await
            .0,
        200
    );
    assert_eq!(
        gateway.value("SELECT sender FROM packet").await,
        "nanning-tax"
    );
    let list = gateway
        .stage
        .authority
        .revocation_list(&[&tax])
        .expect("a list");
    std::fs::write(gateway.stage.pki.join("crl.pem"), list).expect("written");
    assert!(gateway.running.reload_trust().expect("reloaded"));
    assert_eq!(
        post(&gateway, &front, &[("client-cert", header(&tax))])
            .await
            .0,
        403,
        "revoked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_through_a_tlcp_gateway_are_not_counted_as_one_partner_s() {
    let gateway = behind_with(|scene| {
        scene.edit(
            "# connections_per_partner_max = 512",
            "connections_per_partner_max = 2",
        )
    })
    .await;
    let issued = |san: &str| gateway.stage.authority.client(san).expect("issued");
    let (front, tax) = (
        issued("tlcp.nanning.example"),
        issued("tax.nanning.example"),
    );
    let clients: Vec<_> = (0..5)
        .map(|_| {
            gateway
                .stage
                .client_with(Some(&(
                    front.certificate_pem.clone(),
                    front.key_pem.clone(),
                )))
                .expect("a client")
        })
        .collect();
    for client in &clients {
        let answer = client
            .get(gateway.url("/openapi.json"))
            .header("client-cert", header(&tax))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        answer
            .bytes()
            .await
            .expect("a whole body, so that the connection is kept");
    }
    let metrics = reqwest::get(format!(
        "http://{}/metrics",
        gateway.running.server.operator
    ))
    .await
    .expect("an answer")
    .text()
    .await
    .expect("a body");
    assert!(
        metrics.contains(r#"ltcgw_connections{partner="tlcp-1"} 5"#)
            && metrics
                .lines()
                .all(|line| !line.starts_with("ltcgw_connections_ended_total{")
                    || line.ends_with(" 0")),
        "{metrics}"
    );
}
