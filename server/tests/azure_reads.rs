//! Reads of Azure against a scripted peer: what each answer becomes, and how
//! often it is asked for.

mod support;

use std::time::{Duration, Instant};

use naosu_engine::{
    driver::Observer,
    error::Code,
    model::{ObserveErrorKind, Query},
};
use naosu_server::drivers::{Drivers, config::CredentialConfig};
use support::{
    Action, Files, GROUP, Peer, Row, answer, answer_with, cluster, config, drivers, nsg_id,
};

fn get() -> Query {
    Query::AzureGet { resource: nsg_id() }
}

fn list() -> Query {
    Query::AzureList {
        path: format!("{GROUP}/providers/Microsoft.Network/networkSecurityGroups"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_its_code_and_only_failures_that_pass_are_asked_again() {
    let gateway =
        r#"{"error":{"code":"ResourceNotFound","message":"The Resource was not found."}}"#;
    let provider = r#"{"error":{"code":"NotFound","message":"Resource not found.","details":[]}}"#;
    let flat = r#"{"code":"EtagMismatch","message":"Operation is not allowed"}"#;
    let rows: Vec<Row> = vec![
        ("400", answer(400, provider), Code::AzureBadRequest, 1),
        ("403", answer(403, provider), Code::AzureForbidden, 1),
        (
            "404 of the gateway",
            answer(404, gateway),
            Code::AzureNotFound,
            1,
        ),
        (
            "404 of the provider",
            answer(404, provider),
            Code::AzureNotFound,
            1,
        ),
        ("409", answer(409, provider), Code::AzureConflict, 1),
        (
            "409 flat",
            answer(409, flat),
            Code::AzurePreconditionFailed,
            1,
        ),
        (
            "412",
            answer(412, provider),
            Code::AzurePreconditionFailed,
            1,
        ),
        ("429", answer(429, provider), Code::AzureThrottled, 3),
        (
            "500",
            answer(500, "<html>oops</html>"),
            Code::AzureServerError,
            3,
        ),
        ("503", answer(503, ""), Code::AzureServerError, 3),
        (
            "garbage",
            answer(200, "<html>hello</html>"),
            Code::AzureBadResponse,
            1,
        ),
        ("another JSON", answer(200, "[]"), Code::AzureBadResponse, 1),
        (
            "cut JSON",
            answer(200, "{\"id\":"),
            Code::AzureBadResponse,
            1,
        ),
        ("empty", answer(200, ""), Code::AzureBadResponse, 1),
        (
            "a field twice",
            answer(200, r#"{"id":"/a","properties":{"rules":[1],"rules":[]}}"#),
            Code::AzureBadResponse,
            1,
        ),
        (
            "redirect",
            answer_with(302, &[("location", "http://127.0.0.1:1/")], ""),
            Code::AzureBadResponse,
            1,
        ),
        ("closed", Action::Close, Code::AzureUnreachable, 3),
        ("silence", Action::Hang, Code::AzureUnreachable, 3),
    ];
    for (name, action, code, requests) in rows {
        let peer = Peer::with(move |_| action.clone()).await;
        let files = Files::new();
        let error = drivers(&peer, &files)
            .observe(&cluster(), &get())
            .await
            .unwrap_err();
        assert_eq!(error.code, code, "{name}: {error}");
        assert_eq!(peer.count("GET"), requests, "{name}");
        assert_eq!(peer.received().len(), requests, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_unreachable() {
    let peer = Peer::script(vec![]).await;
    let files = Files::new();
    let config = config(&peer, &files);
    drop(peer);
    // The listener closes when the aborted task is dropped; a free port refuses too.
    let mut config = config;
    config.azure.endpoint = "http://127.0.0.1:9".parse().unwrap();
    let error = Drivers::connect(config)
        .unwrap()
        .observe(&cluster(), &get())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureUnreachable);
    assert_eq!(error.kind, ObserveErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_replaced_once() {
    let peer = Peer::script(vec![
        answer(200, "{}"),
        answer(401, "{}"),
        answer(200, r#"{"etag":"W/\"1\""}"#),
        answer(401, "{}"),
        answer(401, "{}"),
    ])
    .await;
    let files = Files::new();
    let drivers = drivers(&peer, &files);
    drivers.observe(&cluster(), &get()).await.unwrap();
    files.write("token", "second-token\n");
    let reading = drivers.observe(&cluster(), &get()).await.unwrap();
    assert_eq!(reading.version.as_deref(), Some("W/\"1\""));
    let error = drivers.observe(&cluster(), &get()).await.unwrap_err();
    assert_eq!(error.code, Code::AzureUnauthenticated);
    let received = peer.received();
    let tokens: Vec<_> = received
        .iter()
        .map(|r| r.header("authorization").unwrap())
        .collect();
    assert_eq!(
        tokens,
        [
            "Bearer first-token",
            "Bearer first-token",
            "Bearer second-token",
            "Bearer second-token",
            "Bearer second-token"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_waited_for_in_seconds_and_as_a_date() {
    let seconds: fn() -> String = || "1".to_owned();
    let date: fn() -> String = || {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for value in [seconds, date] {
        let mut asked = Vec::new();
        let peer = Peer::with(move |_| {
            asked.push(Instant::now());
            match asked.as_slice() {
                [_] => answer_with(429, &[("retry-after", &value())], "{}"),
                [first, second, ..] if *second - *first < Duration::from_millis(900) => {
                    answer(400, "{}")
                }
                _ => answer(200, "{}"),
            }
        })
        .await;
        let files = Files::new();
        drivers(&peer, &files)
            .observe(&cluster(), &get())
            .await
            .unwrap();
        assert_eq!(peer.received().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_longer_than_allowed_is_not_waited() {
    let peer = Peer::with(|_| answer_with(429, &[("retry-after", "3600")], "{}")).await;
    let files = Files::new();
    let error = drivers(&peer, &files)
        .observe(&cluster(), &get())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureThrottled);
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_read_as_one_array() {
    let peer = Peer::with(|request| match request.path.as_str() {
        path if path.contains("page=3") => answer(200, r#"{"value":[]}"#),
        path if path.contains("page=2") => {
            let host = request.header("host").unwrap();
            answer(
                200,
                &format!(r#"{{"value":[3],"nextLink":"http://{host}/subscriptions/x?page=3"}}"#),
            )
        }
        _ => {
            let host = request.header("host").unwrap();
            answer(
                200,
                &format!(r#"{{"value":[1,2],"nextLink":"http://{host}/subscriptions/x?page=2"}}"#),
            )
        }
    })
    .await;
    let files = Files::new();
    let reading = drivers(&peer, &files)
        .observe(&cluster(), &list())
        .await
        .unwrap();
    assert_eq!(reading.body, "[1,2,3]");
    let ids: Vec<_> = peer
        .received()
        .iter()
        .map(|r| r.header("x-ms-correlation-request-id").unwrap().to_owned())
        .collect();
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "one read, one correlation id"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_only_reads_is_posted_and_its_pages_follow_by_token() {
    let peer = Peer::with(|request| {
        if request.method != "POST" {
            answer(405, "{}")
        } else if request.body.contains("second") {
            answer(200, r#"{"value":[3]}"#)
        } else {
            answer(200, r#"{"value":[1,2],"skipToken":"second"}"#)
        }
    })
    .await;
    let files = Files::new();
    let rules = Query::AzureList {
        path: format!(
            "{GROUP}/providers/Microsoft.Network/virtualNetworks/v/\
             listNetworkManagerEffectiveSecurityAdminRules"
        ),
    };
    let reading = drivers(&peer, &files).observe(&cluster(), &rules).await;
    assert_eq!(reading.unwrap().body, "[1,2,3]");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_does_not_follow_a_link_to_another_host() {
    let elsewhere = Peer::with(|_| answer(200, r#"{"value":[]}"#)).await;
    let link = format!(r#"{{"value":[1],"nextLink":"{}/steal"}}"#, elsewhere.url);
    let peer = Peer::with(move |_| answer(200, &link)).await;
    let files = Files::new();
    let error = drivers(&peer, &files)
        .observe(&cluster(), &list())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureBadResponse);
    assert!(elsewhere.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_end_and_pages_without_items_are_errors() {
    let peer = Peer::with(|request| {
        let host = request.header("host").unwrap();
        answer(
            200,
            &format!(r#"{{"value":[],"nextLink":"http://{host}/subscriptions/x"}}"#),
        )
    })
    .await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.azure.page_limit = 5;
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &list()).await.unwrap_err();
    assert_eq!(error.code, Code::AzureBadResponse);
    assert_eq!(peer.received().len(), 6);

    let peer = Peer::with(|_| answer(200, r#"{"values":[]}"#)).await;
    let error = support::drivers(&peer, &files)
        .observe(&cluster(), &list())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureBadResponse);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_size_limit_is_not_read_to_its_end() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let peer = Peer::with(move |_| answer(200, &body)).await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.azure.response_limit_bytes = 50_000;
    let error = Drivers::connect(config)
        .unwrap()
        .observe(&cluster(), &get())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureBadResponse);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_go_on_for_ever_end_at_a_number_of_bytes() {
    let peer = Peer::with(|request| {
        let host = request.header("host").unwrap();
        let link = format!("http://{host}{}", request.path);
        let item = "x".repeat(900);
        answer(
            200,
            &format!(r#"{{"value":["{item}"],"nextLink":"{link}"}}"#),
        )
    })
    .await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.azure.response_limit_bytes = 2_000;
    let query = Query::AzureList {
        path: format!("{GROUP}/providers/Microsoft.Network/networkSecurityGroups"),
    };
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &query).await.unwrap_err();
    assert_eq!(error.code, Code::AzureBadResponse);
    assert!(
        error.message.contains("exceed 4000 bytes together"),
        "{error}"
    );
    assert!(peer.count("GET") <= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_itself_missing_has_its_own_code_in_any_case_of_the_id() {
    let peer = Peer::with(|_| answer(404, "{}")).await;
    let files = Files::new();
    let query = Query::AzureGet {
        resource: cluster()
            .as_str()
            .to_uppercase()
            .replace("/SUBSCRIPTIONS", "/subscriptions"),
    };
    let error = drivers(&peer, &files)
        .observe(&cluster(), &query)
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::ClusterNotFound);
    assert_eq!(error.kind, ObserveErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_could_leave_the_path_is_never_sent() {
    let peer = Peer::with(|_| answer(200, "{}")).await;
    let files = Files::new();
    for resource in [
        "",
        "nsg",
        "/subscriptions/x/../../y",
        "/subscriptions/x?y",
        "http://evil/x",
    ] {
        let query = Query::AzureGet {
            resource: resource.to_owned(),
        };
        let error = drivers(&peer, &files)
            .observe(&cluster(), &query)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::InvalidResourceId, "{resource}");
        assert_eq!(error.kind, ObserveErrorKind::Invalid, "{resource}");
    }
    assert!(peer.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_gets_its_token_from_the_configured_authority() {
    let peer = Peer::with(|request| match request.method.as_str() {
        "POST" => answer(
            200,
            r#"{"token_type":"Bearer","expires_in":3600,"ext_expires_in":3600,"access_token":"from-authority"}"#,
        ),
        _ => answer(200, "{}"),
    })
    .await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.azure.authority = peer.url.parse().unwrap();
    config.azure.credential = CredentialConfig::ClientSecret {
        tenant_id: Some("11111111-1111-1111-1111-111111111111".to_owned()),
        client_id: Some("client".to_owned()),
        secret_file: Some(files.write("secret", "s3cret\n")),
    };
    Drivers::connect(config)
        .unwrap()
        .observe(&cluster(), &get())
        .await
        .unwrap();
    let received = peer.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[0].path,
        "/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token"
    );
    for part in [
        "client_secret=s3cret&",
        "scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
    ] {
        assert!(format!("{}&", received[0].body).contains(part), "{part}");
    }
    assert_eq!(
        received[1].header("authorization"),
        Some("Bearer from-authority")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_secret_is_unauthenticated_and_nothing_is_asked() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}"#;
    let peer = Peer::with(move |_| answer(401, refusal)).await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.azure.authority = peer.url.parse().unwrap();
    config.azure.credential = CredentialConfig::ClientSecret {
        tenant_id: Some("11111111-1111-1111-1111-111111111111".to_owned()),
        client_id: Some("client".to_owned()),
        secret_file: Some(files.write("secret", "wrong")),
    };
    let error = Drivers::connect(config)
        .unwrap()
        .observe(&cluster(), &get())
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::AzureUnauthenticated);
    assert!(error.message.contains("AADSTS7000215"), "{error}");
    assert_eq!(peer.count("GET"), 0);
}

#[test]
fn tokens_are_never_sent_in_the_clear_beyond_loopback() {
    for (endpoint, authority) in [
        ("http://10.0.0.1", "https://login.microsoftonline.com"),
        ("https://management.azure.com", "http://login.example"),
    ] {
        let mut config = naosu_server::drivers::DriverConfig::default();
        config.azure.endpoint = endpoint.parse().unwrap();
        config.azure.authority = authority.parse().unwrap();
        let error = Drivers::connect(config).err().unwrap();
        assert_eq!(error.code, Code::InvalidConfiguration);
    }
}
