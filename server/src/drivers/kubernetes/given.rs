//! Kubeconfigs that ARM gives: data of a peer, unlike the operator's own file, so
//! they start no program and read no file of this machine.

use kube::config::{AuthInfo, Cluster, ExecConfig, Kubeconfig};

/// The one program that AKS has kubeconfigs start, and what it is asked for.
const LOGIN: &str = "kubelogin";
const LOGIN_COMMAND: &str = "get-token";

/// Whether such a kubeconfig keeps to itself.
///
/// # Errors
/// What in it does not.
pub(super) fn check(kubeconfig: &Kubeconfig) -> Result<(), String> {
    for named in &kubeconfig.clusters {
        named.cluster.as_ref().map_or(Ok(()), check_cluster)?;
    }
    for named in &kubeconfig.auth_infos {
        named.auth_info.as_ref().map_or(Ok(()), check_user)?;
    }
    Ok(())
}

fn check_cluster(cluster: &Cluster) -> Result<(), String> {
    refuse(
        cluster.insecure_skip_tls_verify == Some(true),
        "insecure-skip-tls-verify",
    )?;
    refuse(
        cluster.certificate_authority.is_some(),
        "certificate-authority, a file of this machine",
    )?;
    refuse(cluster.proxy_url.is_some(), "proxy-url")?;
    let server = cluster.server.as_deref().unwrap_or_default();
    let in_the_clear = url::Url::parse(server)
        .is_ok_and(|url| url.scheme() != "https" && !crate::drivers::azure::is_loopback(&url));
    refuse(in_the_clear, "a server without https")
}

fn check_user(user: &AuthInfo) -> Result<(), String> {
    for (path, name) in [
        (&user.token_file, "tokenFile"),
        (&user.client_certificate, "client-certificate"),
        (&user.client_key, "client-key"),
    ] {
        refuse(path.is_some(), &format!("{name}, a file of this machine"))?;
    }
    refuse(user.auth_provider.is_some(), "auth-provider")?;
    user.exec.as_ref().map_or(Ok(()), check_program)
}

fn check_program(exec: &ExecConfig) -> Result<(), String> {
    let command = exec.command.as_deref().unwrap_or_default();
    let first = exec.args.iter().flatten().next().map(String::as_str);
    if command == LOGIN && first == Some(LOGIN_COMMAND) {
        return Ok(());
    }
    Err(format!(
        "it would start {:?}; of those from ARM only `{LOGIN} {LOGIN_COMMAND}` is started",
        crate::drivers::text::printable(command, 100)
    ))
}

fn refuse(is_there: bool, what: &str) -> Result<(), String> {
    if is_there {
        Err(format!("it has {what}, which none from ARM may have"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(cluster: &str, user: &str) -> Result<(), String> {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        );
        check(&Kubeconfig::from_yaml(&text).unwrap())
    }

    const SERVER: &str =
        "server: \"https://aks.hcp.eu.azmk8s.io:443\", certificate-authority-data: eA==";

    #[test]
    fn what_aks_gives_is_taken() {
        assert_eq!(checked(SERVER, "token: t"), Ok(()));
        let login = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin, args: [get-token, --login, msi]}";
        assert_eq!(checked(SERVER, login), Ok(()));
        assert_eq!(
            checked("server: \"http://127.0.0.1:1\"", "token: t"),
            Ok(())
        );
    }

    #[test]
    fn what_reaches_out_to_this_machine_is_refused() {
        for cluster in [
            "server: \"https://x\", insecure-skip-tls-verify: true",
            "server: \"https://x\", certificate-authority: /etc/shadow",
            "server: \"https://x\", proxy-url: \"http://evil.example\"",
            "server: \"http://x.example\"",
        ] {
            assert!(checked(cluster, "token: t").is_err(), "{cluster}");
        }
        for user in [
            "tokenFile: /etc/shadow",
            "client-certificate: /etc/x",
            "client-key: /etc/x",
            "auth-provider: {name: azure, config: {}}",
            "exec: {command: sh, args: [-c, id]}",
            "exec: {command: /tmp/kubelogin, args: [get-token]}",
            "exec: {command: kubelogin, args: [convert-kubeconfig]}",
        ] {
            assert!(checked(SERVER, user).is_err(), "{user}");
        }
    }
}
