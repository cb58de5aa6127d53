//! A network of the owner's own: AKS makes no NAT gateway there. The owner puts one
//! on the subnet, as the refusal of a plan advises, and the outbound type follows.

use std::{collections::BTreeSet, time::Duration};

use naosu_lab::{Lab, LabOptions, builtin_scenario};
use naosu_tests::{
    mending::{approve_fully, connect_anew, diagnose, judgements, text},
    product::Naosu,
    tunnel_truth::unreachable_nodes,
};
use reqwest::Method;
use serde_json::{Value, json};

const API_VERSION: &str = "2024-05-01";
/// Agents begin anew within seconds once there are ports.
const TUNNEL_UP_WITHIN: Duration = Duration::from_secs(30);

/// The owner of the network at the lab's Azure.
struct Owner<'a> {
    lab: &'a Lab,
    http: reqwest::Client,
}

impl<'a> Owner<'a> {
    fn of(lab: &'a Lab) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            lab,
            http: reqwest::Client::new(),
        }
    }

    async fn put(&self, id: &str, body: Value) -> Value {
        let arm = self.lab.arm();
        let url = format!("{}{id}?api-version={API_VERSION}", arm.endpoint());
        let request = self.http.request(Method::PUT, url);
        let answer = request
            .bearer_auth(arm.token())
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let said: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{id}: {status} {said:#}");
        said
    }

    /// A NAT gateway with one address, on the nodes' subnet.
    async fn put_gateway_on_the_subnet(&self) -> String {
        let snapshot = self.lab.arm().snapshot();
        let network = snapshot
            .of_type("Microsoft.Network/virtualNetworks")
            .next()
            .unwrap();
        let network_id = text(&network["id"]);
        let (provider, _) = network_id.rsplit_once("/virtualNetworks/").unwrap();
        let location = &network["location"];
        let standard = json!({ "name": "Standard" });
        let address = format!("{provider}/publicIPAddresses/nat-address");
        self.put(
            &address,
            json!({ "location": location, "sku": standard,
                "properties": { "publicIPAllocationMethod": "Static" } }),
        )
        .await;
        let gateway = format!("{provider}/natGateways/nat-gateway");
        self.put(
            &gateway,
            json!({ "location": location, "sku": standard,
                "properties": { "publicIpAddresses": [{ "id": address }] } }),
        )
        .await;
        let mut subnet = network["properties"]["subnets"][0].clone();
        let subnet_id = format!("{network_id}/subnets/{}", text(&subnet["name"]));
        subnet["properties"]["natGateway"] = json!({ "id": gateway });
        self.put(&subnet_id, json!({ "properties": subnet["properties"] }))
            .await;
        gateway
    }
}

fn outbound_type(lab: &Lab) -> String {
    let cluster = lab.arm().resource(&lab.cluster_id()).unwrap();
    text(&cluster["properties"]["networkProfile"]["outboundType"])
}

async fn wait_until_the_tunnel_is_up(lab: &Lab) {
    let mut unreached = BTreeSet::new();
    let up = async {
        loop {
            unreached = unreachable_nodes(lab).await;
            if unreached.is_empty() {
                return;
            }
            connect_anew(lab).await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(TUNNEL_UP_WITHIN, up).await.is_ok();
    assert!(
        in_time,
        "not reached within {TUNNEL_UP_WITHIN:?}: {unreached:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_its_owner_put_a_nat_gateway_on_the_subnet_the_outbound_type_follows_and_goes_back() {
    let scenario = builtin_scenario("snat-nat-gateway-own-network").unwrap();
    let lab = Lab::start(scenario, LabOptions::default()).await.unwrap();
    if let Some(reason) = lab.simulated_because() {
        println!("skipped: no real ports to run out of, {reason}");
        return;
    }
    let naosu = Naosu::at(&lab).unwrap();
    let before = diagnose(&naosu, &lab).await.unwrap();
    assert_eq!(judgements(&before)["snat-nat-gateway"], "confirmed");
    let id = text(&before["id"]);
    let create = ["plan", "create", &id, "--plugin", "snat-nat-gateway"];
    let (code, refused) = naosu.failure(&create).await.unwrap();
    assert_eq!(code, "infeasible_here", "{refused}");

    let gateway = Owner::of(&lab).put_gateway_on_the_subnet().await;
    wait_until_the_tunnel_is_up(&lab).await;

    // What failed a while ago is still on the record, and is no longer why.
    let after = diagnose(&naosu, &lab).await.unwrap();
    assert_eq!(
        judgements(&after)["snat-nat-gateway"],
        "suspected",
        "{after:#}"
    );
    let id = text(&after["id"]);
    let create = ["plan", "create", &id, "--plugin", "snat-nat-gateway"];
    let plan = naosu.json(&create).await.unwrap();
    let step = &plan["content"]["steps"][0];
    assert!(
        step.to_string().contains("userAssignedNATGateway"),
        "{step:#}"
    );
    let evidence = after["findings"].to_string();
    assert!(evidence.contains(&gateway), "{evidence}");

    let (plan_id, digest) = (text(&plan["id"]), text(&plan["digest"]));
    approve_fully(&naosu, &plan_id, &digest, plan)
        .await
        .unwrap();
    let run = naosu.json(&["apply", &plan_id]).await.unwrap();
    assert_eq!(run["state"], "SUCCEEDED", "{run:#}");
    assert_eq!(outbound_type(&lab), "userAssignedNATGateway");
    let balancers = "Microsoft.Network/loadBalancers";
    assert_eq!(lab.arm().snapshot().of_type(balancers).count(), 0);
    connect_anew(&lab).await.unwrap();
    assert_eq!(unreachable_nodes(&lab).await, BTreeSet::new());
    let mended = diagnose(&naosu, &lab).await.unwrap();
    assert_eq!(judgements(&mended)["snat-nat-gateway"], "ruled_out");

    let back = naosu
        .json(&["run", "rollback", &text(&run["id"])])
        .await
        .unwrap();
    assert_eq!(back["state"], "ROLLED_BACK", "{back:#}");
    assert_eq!(outbound_type(&lab), "loadBalancer");
    // The gateway is its owner's, and stays.
    assert!(lab.arm().resource(&gateway).is_some());
    // A connection from before would outlive it.
    connect_anew(&lab).await.unwrap();
    assert_eq!(unreachable_nodes(&lab).await, BTreeSet::new());
}
