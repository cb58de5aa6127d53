//! Metrics of Azure Monitor against a scripted peer: how they are asked for, and
//! how they are told.

mod support;

use std::path::PathBuf;

use naosu_engine::{driver::Observer, error::Code, model::Query};
use support::{Files, GROUP, Peer, answer, cluster, drivers};

fn failed_connections() -> Query {
    Query::AzureMetric {
        resource: format!("{GROUP}/providers/Microsoft.Network/loadBalancers/kubernetes"),
        metric: "SnatConnectionCount".to_owned(),
        aggregation: "Total".to_owned(),
        filter: "ConnectionState eq 'Failed'".to_owned(),
        window_minutes: 30,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_asked_for_with_its_filter_and_window() {
    let peer = Peer::with(|_| answer(200, r#"{"value":[]}"#)).await;
    let files = Files::new();
    drivers(&peer, &files)
        .observe(&cluster(), &failed_connections())
        .await
        .unwrap();
    let path = peer.received()[0].path.clone();
    for part in [
        "/providers/Microsoft.Insights/metrics?api-version=2018-01-01",
        "metricnames=SnatConnectionCount",
        "aggregation=Total",
        "interval=PT1M",
        "%24filter=ConnectionState+eq+%27Failed%27",
        // Without it Azure shows ten series at most.
        "&top=10000",
        "timespan=20",
    ] {
        assert!(path.contains(part), "{part} in {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_told_minute_by_minute_and_one_that_makes_no_sense_is_not() {
    let point = r#"{"timeStamp":"2026-01-01T00:00:00Z","total":7.0}"#;
    let name = r#"{"name":{"value":"backendipaddress"},"value":"10.224.0.4"}"#;
    let series = format!(r#"{{"metadatavalues":[{name}],"data":[{point}]}}"#);
    let sound = format!(r#"{{"value":[{{"timeseries":[{series}],"errorCode":"Success"}}]}}"#);
    for (body, told) in [
        (
            sound.as_str(),
            Ok(
                r#"{"first_ms":1767225600000,"series":[{"dimensions":{"backendipaddress":"10.224.0.4"},"values":[7.0]}]}"#,
            ),
        ),
        (&sound.replace("2026", "then"), Err("not as documented")),
        (&sound.replace("Success", "Throttled"), Err("Throttled")),
        (r#"{"cost":0}"#, Err("missing field `value`")),
    ] {
        let body = body.to_owned();
        let peer = Peer::with(move |_| answer(200, &body)).await;
        let files = Files::new();
        let read = drivers(&peer, &files)
            .observe(&cluster(), &failed_connections())
            .await;
        match told {
            Ok(told) => assert_eq!(read.unwrap().body, told),
            Err(why) => {
                let error = read.unwrap_err();
                assert_eq!(error.code, Code::AzureBadResponse);
                assert!(error.message.contains(why), "{}", error.message);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_in_azures_specification_is_told_as_a_metric() {
    let reference = std::env::var_os("NAOSU_AZURE_REFERENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/azure"),
        PathBuf::from,
    );
    let file = reference.join("examples/Microsoft.Insights/2018-01-01/GetMetric.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no {} (set NAOSU_AZURE_REFERENCE)", file.display());
        return;
    };
    let example: serde_json::Value = serde_json::from_str(&text).unwrap();
    let body = example["responses"]["200"]["body"].to_string();
    let peer = Peer::with(move |_| answer(200, &body)).await;
    let files = Files::new();
    let Query::AzureMetric {
        resource, metric, ..
    } = failed_connections()
    else {
        unreachable!()
    };
    let query = Query::AzureMetric {
        resource,
        metric,
        aggregation: "Count".to_owned(),
        filter: String::new(),
        window_minutes: 120,
    };
    let told = drivers(&peer, &files).observe(&cluster(), &query).await;
    let told: serde_json::Value = serde_json::from_str(&told.unwrap().body).unwrap();
    let series = told["series"].as_array().unwrap();
    assert!(!series.is_empty());
    for series in series {
        assert!(series["dimensions"]["blobtype"].is_string());
        let values = series["values"].as_array().unwrap();
        assert!(!values.is_empty() && values.iter().all(|value| value.is_number()));
    }
}
