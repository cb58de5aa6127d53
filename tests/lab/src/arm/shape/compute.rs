//! Scale sets, their instances and the instances' network interfaces.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::error::ArmError;
use super::{Kind, fill_in, keep_missing};

pub(super) fn normalise(
    kind: &Kind,
    existing: Option<&Value>,
    mut body: Value,
) -> Result<Value, ArmError> {
    match kind.name {
        "Microsoft.Compute/virtualMachineScaleSets" => {
            if let Some(existing) = existing {
                keep_missing(&mut body, existing);
            }
            scale_set(&mut body);
        }
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines" => {
            // Azure takes tags on an instance of a uniform set and drops them.
            if let Some(fields) = body.as_object_mut() {
                fields.remove("tags");
            }
            if let Some(existing) = existing {
                keep_missing(&mut body, existing);
            }
        }
        _ => {}
    }
    Ok(body)
}

fn scale_set(body: &mut Value) {
    let now = now();
    let publisher = &body["properties"]["virtualMachineProfile"]["storageProfile"]["imageReference"]
        ["publisher"];
    let windows = publisher
        .as_str()
        .is_some_and(|name| name.contains("Windows"));
    let profile = &mut body["properties"]["virtualMachineProfile"];
    if let Some(os) = profile["osProfile"].as_object_mut() {
        os.remove("adminPassword");
        let (field, configuration) = if windows {
            (
                "windowsConfiguration",
                json!({ "provisionVMAgent": true, "enableAutomaticUpdates": true }),
            )
        } else {
            (
                "linuxConfiguration",
                json!({ "disablePasswordAuthentication": true, "provisionVMAgent": true }),
            )
        };
        os.entry(field).or_insert(configuration);
    }
    fill_in(
        body,
        &json!({
            "sku": { "name": "Standard_D2s_v3", "tier": "Standard", "capacity": 0 },
            "properties": {
                "singlePlacementGroup": true,
                "orchestrationMode": "Uniform",
                "upgradePolicy": {
                    "mode": "Manual",
                    "automaticOSUpgradePolicy": {
                        "enableAutomaticOSUpgrade": false,
                        "useRollingUpgradePolicy": false,
                        "disableAutomaticRollback": false,
                    },
                },
                "virtualMachineProfile": {
                    "osProfile": {
                        "secrets": [],
                        "allowExtensionOperations": true,
                        "requireGuestProvisionSignal": true,
                    },
                    "storageProfile": { "osDisk": {
                        "osType": if windows { "Windows" } else { "Linux" },
                        "createOption": "FromImage",
                        "caching": "None",
                        "managedDisk": { "storageAccountType": "Premium_LRS" },
                        "diskSizeGB": 127,
                    }},
                    "networkProfile": { "networkInterfaceConfigurations": [{ "properties": {
                        "enableAcceleratedNetworking": false,
                        "disableTcpStateTracking": false,
                        "dnsSettings": { "dnsServers": [] },
                        "ipConfigurations": [{ "properties": { "privateIPAddressVersion": "IPv4" } }],
                    }}]},
                    "timeCreated": now,
                },
                "overprovision": true,
                "doNotRunExtensionsOnOverprovisionedVMs": false,
                "uniqueId": Uuid::new_v4().to_string(),
                "platformFaultDomainCount": 5,
                "timeCreated": now,
            },
        }),
    );
}

/// The instance `index` of a scale set, as Azure makes it from the model.
pub fn instance(scale_set: &Value, index: u32, computer_name: &str) -> Value {
    let set_id = scale_set["id"].as_str().unwrap_or_default();
    let set_name = scale_set["name"].as_str().unwrap_or_default();
    let id = format!("{set_id}/virtualMachines/{index}");
    let profile = &scale_set["properties"]["virtualMachineProfile"];
    let interfaces = &profile["networkProfile"]["networkInterfaceConfigurations"];
    let interface_ids: Vec<Value> = interfaces
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|interface| interface["name"].as_str())
        .map(|name| json!({ "id": format!("{id}/networkInterfaces/{name}") }))
        .collect();
    let mut os = profile["osProfile"].clone();
    if let Some(os) = os.as_object_mut() {
        os.remove("computerNamePrefix");
        os.insert("computerName".to_owned(), json!(computer_name));
    }
    let mut storage = profile["storageProfile"].clone();
    let disk_name = format!(
        "{set_name}_{set_name}_{index}_OS__1_{}",
        Uuid::new_v4().simple()
    );
    let group = set_id.split("/providers/").next().unwrap_or_default();
    storage["osDisk"]["name"] = json!(disk_name);
    storage["osDisk"]["managedDisk"]["id"] = json!(format!(
        "{group}/providers/Microsoft.Compute/disks/{disk_name}"
    ));
    storage["imageReference"]["exactVersion"] = json!("1.0.0");
    storage["dataDisks"] = json!([]);
    json!({
        "name": format!("{set_name}_{index}"),
        "id": id,
        "type": "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
        "location": scale_set["location"],
        "instanceId": index.to_string(),
        "sku": { "name": scale_set["sku"]["name"], "tier": scale_set["sku"]["tier"] },
        "properties": {
            "latestModelApplied": true,
            "modelDefinitionApplied": "VirtualMachineScaleSet",
            "networkProfileConfiguration": { "networkInterfaceConfigurations": interfaces },
            "hardwareProfile": { "vmSize": scale_set["sku"]["name"] },
            "resilientVMDeletionStatus": "Disabled",
            "vmId": Uuid::new_v4().to_string(),
            "storageProfile": storage,
            "osProfile": os,
            "networkProfile": { "networkInterfaces": interface_ids },
            "timeCreated": now(),
        },
    })
}

/// What `instanceView` says of a running instance.
pub fn instance_view(instance: &Value) -> Value {
    let status = |code: &str, shown: &str| json!({ "code": code, "level": "Info", "displayStatus": shown, "time": now() });
    let mut agent = status("ProvisioningState/succeeded", "Ready");
    agent["message"] = json!("GuestAgent is running and processing the extensions.");
    let provisioned = status("ProvisioningState/succeeded", "Provisioning succeeded");
    let index: u32 = instance["instanceId"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    json!({
        "placementGroupId": Uuid::new_v4().to_string(),
        "platformUpdateDomain": index % 5,
        "platformFaultDomain": index % 5,
        "computerName": instance["properties"]["osProfile"]["computerName"],
        "osName": "ubuntu",
        "osVersion": "22.04",
        "vmAgent": { "vmAgentVersion": "2.15.1.3", "statuses": [agent] },
        "disks": [{
            "name": instance["properties"]["storageProfile"]["osDisk"]["name"],
            "statuses": [provisioned],
        }],
        "hyperVGeneration": "V2",
        "statuses": [
            provisioned,
            { "code": "PowerState/running", "level": "Info", "displayStatus": "VM running" },
        ],
    })
}

/// A network interface of an instance.
pub fn network_interface(
    instance_id: &str,
    name: &str,
    subnet_id: &str,
    address: &str,
    security_group_id: Option<&str>,
    application_group_ids: &[String],
) -> Value {
    let id = format!("{instance_id}/networkInterfaces/{name}");
    let mut interface = json!({
        "name": name,
        "id": id,
        "properties": {
            "resourceGuid": Uuid::new_v4().to_string(),
            "ipConfigurations": [{
                "name": "ipconfig1",
                "id": format!("{id}/ipConfigurations/ipconfig1"),
                "properties": {
                    "privateIPAddress": address,
                    "privateIPAllocationMethod": "Dynamic",
                    "subnet": { "id": subnet_id },
                    "primary": true,
                    "privateIPAddressVersion": "IPv4",
                    "isInUseWithService": false,
                },
            }],
            "dnsSettings": {
                "dnsServers": [],
                "appliedDnsServers": [],
                "internalDomainNameSuffix": "lab.ax.internal.cloudapp.net",
            },
            "macAddress": "00-0D-3A-00-00-00",
            "enableAcceleratedNetworking": false,
            "enableIPForwarding": true,
            "primary": true,
            "virtualMachine": { "id": instance_id },
            "hostedWorkloads": [],
        },
    });
    if let Some(security_group_id) = security_group_id {
        interface["properties"]["networkSecurityGroup"] = json!({ "id": security_group_id });
    }
    if !application_group_ids.is_empty() {
        let groups: Vec<Value> = application_group_ids
            .iter()
            .map(|id| json!({ "id": id }))
            .collect();
        interface["properties"]["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] =
            json!(groups);
    }
    interface
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
