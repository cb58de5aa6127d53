//! What one connection may take up, and how long a call may take.

use std::time::Duration;

use naosu_engine::{
    Code, Naosu as _,
    facade::DiagnoseRequest,
    model::{PlanId, Principal, RunId, Symptom},
};
use naosu_server::grpc::{MAX_REQUEST_BYTES, limits::Limits};
use tokio::time::{sleep, timeout};

use crate::{
    product::{CLUSTER, Scripted, Trouble},
    served::{PATIENCE, Served},
};

const SHORT: Duration = Duration::from_millis(200);

fn nobody() -> Principal {
    Principal::person("whatever the client says")
}

#[tokio::test]
async fn a_look_that_never_ends_is_told_as_one_in_time() {
    let limits = Limits {
        answer_within: SHORT,
        ..Limits::default()
    };
    let served = Served::start_within(Scripted::failing(Trouble::NeverAnswers), limits).await;
    let client = served.client();
    let id = PlanId("plan-1".into());
    let answer = timeout(PATIENCE, client.plan(&id)).await.unwrap();
    assert_eq!(answer.unwrap_err().code, Code::DeadlineExceeded);
    served.end().await;
}

#[tokio::test]
async fn a_change_is_done_to_its_end_when_its_caller_is_told_that_time_is_up() {
    let limits = Limits {
        answer_within: SHORT,
        ..Limits::default()
    };
    let product = Scripted::failing(Trouble::SlowApply(SHORT * 3));
    let asked = product.asked();
    let served = Served::start_within(product, limits).await;
    let client = served.client();
    let id = PlanId("plan-1".into());
    let answer = client.apply(&nobody(), &id).await;
    assert_eq!(answer.unwrap_err().code, Code::DeadlineExceeded);
    let done = async {
        while asked.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, done).await.expect("the run begins");
    served.end().await;
}

#[tokio::test]
async fn a_connection_has_no_more_calls_at_once_than_it_may() {
    let limits = Limits {
        calls_per_connection: 2,
        ..Limits::default()
    };
    let served = Served::start_within(Scripted::failing(Trouble::NeverAnswers), limits).await;
    let client = served.client();
    client.plugins().await.unwrap();
    let run = RunId("run-1".into());
    let first = client.watch_run(&run).await.unwrap();
    let _second = client.watch_run(&run).await.unwrap();
    assert!(timeout(SHORT, client.plugins()).await.is_err(), "a third");
    // Another connection is not held up.
    served.client().plugins().await.unwrap();
    drop(first);
    timeout(PATIENCE, client.plugins()).await.unwrap().unwrap();
    served.end().await;
}

#[tokio::test]
async fn a_request_larger_than_any_should_be_is_refused_and_not_held() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let symptom = |length: usize| DiagnoseRequest {
        cluster: CLUSTER.parse().unwrap(),
        symptom: Symptom {
            text: "x".repeat(length),
            ..Symptom::default()
        },
        plugins: Vec::new(),
    };
    let client = served.client();
    let large = client.diagnose(&nobody(), symptom(MAX_REQUEST_BYTES)).await;
    assert_eq!(large.err().unwrap().code, Code::InvalidParameter);
    assert!(asked.lock().unwrap().is_empty(), "the product was asked");
    let fitting = symptom(MAX_REQUEST_BYTES - 1024);
    client
        .diagnose(&nobody(), fitting)
        .await
        .map(|_| ())
        .unwrap();
    served.end().await;
}
