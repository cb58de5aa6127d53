//! The server: listeners, authentication, health and reflection.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use naosu_engine::{Code, Error, Naosu, model::ClusterId};
use naosu_proto::v1::{
    FILE_DESCRIPTOR_SET, diagnosis_service_server::DiagnosisServiceServer,
    plan_service_server::PlanServiceServer, plugin_service_server::PluginServiceServer,
    run_service_server::RunServiceServer,
};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, Routes, interceptor::InterceptedService},
    transport::{Identity, Server, ServerTlsConfig, server::UdsConnectInfo},
};

use super::{
    MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, ROLE_METADATA, limits::Limits, status::status_of_error,
};
use crate::auth::{Authenticator, Caller, Peer, Role};

/// A token and a role; whoever sends more is not a caller.
const MAX_REQUEST_HEADER_BYTES: u32 = 16 * 1024;

/// What the services stand on.
#[derive(Clone)]
pub struct Served {
    pub(super) naosu: Arc<dyn Naosu>,
    pub(super) stop: CancellationToken,
    pub(super) limits: Limits,
}

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// Unix-domain socket.
    pub unix: Option<PathBuf>,
    /// Permission bits of the socket.
    pub unix_mode: u32,
    /// TCP.
    pub tcp: Option<SocketAddr>,
    /// Certificate chain and key in PEM, for TCP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What one connection may take up, and how long a call may take.
    pub limits: Limits,
}

/// A server that listens, not yet serving.
pub struct Bound {
    unix: Option<UnixListener>,
    unix_path: Option<PathBuf>,
    tcp: Option<TcpListener>,
    tls: Option<ServerTlsConfig>,
    limits: Limits,
}

/// Opens the sockets.
///
/// # Errors
/// `invalid_configuration` when an address is taken or cannot be used, or a
/// certificate cannot be read.
pub async fn bind(listen: &Listen) -> Result<Bound, Error> {
    let tls = match &listen.tls {
        Some((certificate, key)) => Some(
            ServerTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?)),
        ),
        None => None,
    };
    let tcp = match listen.tcp {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|e| cannot_listen(&address.to_string(), &e))?,
        ),
        None => None,
    };
    let unix = match &listen.unix {
        Some(path) => Some(bind_unix(path, listen.unix_mode).await?),
        None => None,
    };
    Ok(Bound {
        unix,
        unix_path: listen.unix.clone(),
        tcp,
        tls,
        limits: listen.limits,
    })
}

impl Bound {
    /// The TCP address, with the port that the system chose for port 0.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until `stop`, then until the calls in flight have ended.
    ///
    /// # Errors
    /// `internal` when a listener fails.
    pub async fn serve(
        self,
        naosu: Arc<dyn Naosu>,
        authenticator: Authenticator,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let served = Served {
            naosu,
            stop: stop.clone(),
            limits: self.limits,
        };
        let routes = routes(served, authenticator).await?;
        let server = || {
            Server::builder()
                .max_concurrent_streams(self.limits.calls_per_connection)
                .http2_max_header_list_size(MAX_REQUEST_HEADER_BYTES)
        };
        let over_unix = async {
            match self.unix {
                Some(listener) => {
                    server()
                        .add_routes(routes.clone())
                        .serve_with_incoming_shutdown(
                            UnixListenerStream::new(listener),
                            stop.cancelled(),
                        )
                        .await
                }
                None => Ok(()),
            }
        };
        let over_tcp = async {
            match self.tcp {
                Some(listener) => {
                    let mut server = server();
                    if let Some(tls) = self.tls {
                        server = server.tls_config(tls)?;
                    }
                    server
                        .add_routes(routes.clone())
                        .serve_with_incoming_shutdown(
                            TcpListenerStream::new(listener),
                            stop.cancelled(),
                        )
                        .await
                }
                None => Ok(()),
            }
        };
        let served = tokio::try_join!(over_unix, over_tcp);
        if let Some(path) = &self.unix_path {
            // Left behind it would only be cleared at the next start.
            let _ = fs::remove_file(path);
        }
        served.map(|_| ()).map_err(|e| {
            Error::new(
                Code::Internal,
                format!("the server stopped: {e}"),
                "see the log, then start it again",
            )
        })
    }
}

async fn routes(served: Served, authenticator: Authenticator) -> Result<Routes, Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let authenticate = Authenticate(Arc::new(authenticator));
    macro_rules! guarded {
        ($server:ident) => {{
            health.set_serving::<$server<Served>>().await;
            let server = $server::new(served.clone())
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_ANSWER_BYTES);
            InterceptedService::new(server, authenticate.clone())
        }};
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| {
            Error::new(
                Code::Internal,
                format!("the API's own descriptors cannot be read: {e}"),
                "report it",
            )
        })?;
    Ok(Routes::new(health_service)
        .add_service(reflection)
        .add_service(guarded!(DiagnosisServiceServer))
        .add_service(guarded!(PlanServiceServer))
        .add_service(guarded!(PluginServiceServer))
        .add_service(guarded!(RunServiceServer)))
}

/// Puts the [`Caller`] into each request, or refuses it.
#[derive(Clone)]
struct Authenticate(Arc<Authenticator>);

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = request
            .metadata()
            .get("authorization")
            // What is not text is no token; it must not count as "none given".
            .map(|value| value.to_str().unwrap_or_default());
        let peer = match request.extensions().get::<UdsConnectInfo>() {
            Some(info) => match info.peer_cred {
                Some(credentials) => Peer::Unix {
                    uid: credentials.uid(),
                },
                None => Peer::Unknown,
            },
            None => request.remote_addr().map_or(Peer::Unknown, Peer::Tcp),
        };
        let mut caller = self
            .0
            .authenticate(authorization, peer)
            .map_err(status_of_error)?;
        for asked in request.metadata().get_all(ROLE_METADATA) {
            let role = role_of_text(asked.to_str().unwrap_or_default());
            caller = caller.lowered_to(role.map_err(status_of_error)?);
        }
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

fn role_of_text(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|reason: String| {
        Error::new(
            Code::InvalidParameter,
            format!("the metadata {ROLE_METADATA} is no role: {reason}"),
            "leave it out, or ask for the role \"assistant\"",
        )
    })
}

pub(super) fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| {
        status_of_error(Error::new(
            Code::Unauthenticated,
            "the call passed no authentication",
            "report it",
        ))
    })
}

pub(super) fn cluster_of(id: &str) -> Result<ClusterId, Status> {
    id.parse().map_err(status_of_error)
}

/// A socket that a killed server left is replaced; one that answers is not.
async fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener, Error> {
    let failed = |e: io::Error| cannot_listen(&path.display().to_string(), &e);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            return Err(failed(io::ErrorKind::AddrInUse.into()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    // Nobody may connect between bind and chmod.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    let listener = bound.map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|e| {
        Error::new(
            Code::InvalidConfiguration,
            format!("{}: {e}", path.display()),
            "give a PEM file by `listen.tls_certificate` and `listen.tls_key`",
        )
    })
}

fn cannot_listen(address: &str, error: &io::Error) -> Error {
    Error::new(
        Code::InvalidConfiguration,
        format!("cannot listen on {address}: {error}"),
        "set `listen.unix` or `listen.tcp` to an address that is free, or stop the other server",
    )
}
