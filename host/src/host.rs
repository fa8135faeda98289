//! Wiring, start, drain, stop. Everything from outside (configuration, listener, clock) comes in as an argument.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bodies::Bodies,
    catalog::{Catalog, CatalogError},
    clock::{SharedClock, random},
    config::Config,
    inbound,
    mail::{MailError, Mailer},
    metrics::Metrics,
    model::{
        audit::Origin,
        secret::Secret,
        token::{self, Scope, TokenRecord},
    },
    notices,
    outbound::dispatcher,
    plugin::{self, PluginOptions, Plugins},
    server::{
        Face,
        edge::{self, Certificates, Gate, TlsError},
    },
    services::{Handles, Services},
    store::{KeyOrigin, Retention, StorageKey, Store, StoreError, StoreOptions, make_directory},
    traces::{BadCollector, Traces},
    transport::{OwnListeners, Transport, TransportOptions},
    volatile::{answering::Answering, pace::Pace, refusals::Refusals, tokens::Tokens, window::Window},
};

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory {path} cannot be used")]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store did not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The documents cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The sandbox did not start.
    #[error("the plugin sandbox did not start")]
    Plugins(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Mail cannot be sent as the configuration says.
    #[error("the configuration's `[smtp]` cannot be used")]
    Mail(#[source] MailError),
    /// Traces cannot be sent as the configuration says.
    #[error("the configuration's `[otlp]` cannot be used")]
    Traces(#[source] BadCollector),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The way out did not start.
    #[error("the HTTP client did not start")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the host listens on.
pub struct Sockets {
    /// For everything; for codes alone where administrators have one of their own.
    pub listen: TcpListener,
    /// For administrators, and everybody else who has a token.
    pub admin: Option<TcpListener>,
}

/// A running host.
pub struct Host {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for administrators, if apart.
    pub admin_address: Option<SocketAddr>,
    /// Its certificate, if it has one.
    pub certificates: Option<Certificates>,
    /// The admin token, if this start made one.
    pub new_token: Option<Secret>,
    /// Where the storage key came from.
    pub key_origin: KeyOrigin,
    /// Its handles.
    pub services: Services,
    workers: Vec<JoinHandle<()>>,
}

impl Host {
    /// Starts on `listener`.
    pub async fn start(config: Config, listener: TcpListener, clock: SharedClock, admin_token: Option<Secret>) -> Result<Self, StartError> {
        Self::start_on(config, Sockets { listen: listener, admin: None }, clock, admin_token).await
    }

    /// Starts on these sockets.
    pub async fn start_on(config: Config, sockets: Sockets, clock: SharedClock, admin_token: Option<Secret>) -> Result<Self, StartError> {
        let Sockets { listen: listener, admin } = sockets;
        let certificates = config.tls.clone().map(Certificates::load).transpose()?;
        let data_error = |source| StartError::Data { path: config.data.clone(), source };
        make_directory(&config.data).map_err(data_error)?;
        let address = listener.local_addr().map_err(data_error)?;
        let (key, key_origin) = StorageKey::load(config.key_file.as_deref(), &config.data)?;
        let limits = Arc::new(config.limits.clone());
        let metrics = Metrics::default();
        let options = StoreOptions { metrics: metrics.clone(), ..StoreOptions::new(Arc::clone(&clock), key, &limits) };
        let store = open_store(&config.data, options)?;
        let catalog = Catalog::open(store.clone()).await?;
        let new_token = first_token(&config.data, &catalog, &clock, admin_token).await?;
        let stop = CancellationToken::new();
        let plugin_options = PluginOptions {
            data: config.data.clone(),
            limits: Arc::clone(&limits),
            compiler: config.compiler.clone(),
            counts_instructions: config.counts_instructions,
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let plugins =
            Plugins::open(plugin_options, store.clone(), Arc::clone(&clock)).await.map_err(|error| StartError::Plugins(Box::new(error)))?;
        if config.warm_plugins {
            let (plugins, stop) = (plugins.clone(), stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(plugins.warm(plugins.active_names())).await });
        }
        let own = OwnListeners::default();
        own.add(address);
        let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose().map_err(data_error)?;
        admin_address.into_iter().for_each(|address| own.add(address));
        let transport = Transport::new(TransportOptions {
            allow_networks: config.allow_networks.clone(),
            proxies: config.proxies.clone(),
            connect_time_max: limits.connect_time_max,
            own: Arc::new(own),
            ..TransportOptions::default()
        })
        .map_err(|error| StartError::Transport(Box::new(error)))?;
        let mailer = config.smtp.clone().map(|smtp| Mailer::new(smtp, limits.mail_time_max)).transpose().map_err(StartError::Mail)?;
        let traces = Traces::start(&config, &store, &metrics).map_err(StartError::Traces)?;
        let services = Services::from(Handles {
            clock,
            window: Window::new(&limits),
            notices: Arc::default(),
            reruns: Arc::default(),
            metrics,
            traces,
            pace: Pace::default(),
            bodies: Bodies::new(&limits.http),
            limits,
            store,
            catalog,
            plugins,
            transport,
            mailer,
            backup_dir: config.backup_dir.as_deref().map(Arc::from),
            bases: Arc::new(config.bases.clone()),
            refusals: Refusals::default(),
            answering: Answering::default(),
            tokens: Tokens::default(),
            tasks: TaskTracker::new(),
            stop,
        });
        let gate = Gate::new(&services.limits.http);
        let face = if admin.is_some() { Face::Public } else { Face::Everything };
        let listeners = [(listener, face)].into_iter().chain(admin.map(|admin| (admin, Face::Admin)));
        let mut workers: Vec<_> = listeners
            .map(|(socket, face)| edge::Listener { socket, face, certificates: certificates.clone() })
            .map(|listener| tokio::spawn(edge::serve(listener, gate.clone(), services.clone())))
            .collect();
        workers.extend(certificates.clone().map(|certificates| tokio::spawn(certificates.watch(services.stop.clone()))));
        workers.extend([
            tokio::spawn(dispatcher::work(services.clone())),
            tokio::spawn(notices::work(services.clone())),
            tokio::spawn(notices::plugins::work(services.clone())),
            tokio::spawn(inbound::work(services.clone())),
            tokio::spawn(plugin::inbox::watch(
                services.on_behalf(Origin::named("plugins directory")).plugins.clone(),
                config.data.join("plugins"),
                services.stop.clone(),
            )),
            tokio::spawn(sweep(services.clone())),
        ]);
        Ok(Self { address, admin_address, certificates, new_token, key_origin, services, workers })
    }

    /// Stops: no new connections, what is in flight ends within the limit, the store closes.
    pub async fn stop(self) {
        // What waits for its turn is not begun any more; what is under way ends.
        self.services.window.stop();
        self.services.plugins.stop();
        self.services.stop.cancel();
        let limit = self.services.limits.drain_time_max;
        let drained = tokio::time::timeout(limit, async {
            for worker in self.workers {
                // A worker that panicked has nothing left to drain.
                drop(worker.await);
            }
            self.services.tasks.close();
            self.services.tasks.wait().await;
            // The last spans: nothing is recorded any more.
            self.services.traces.end().await;
        });
        if drained.await.is_err() {
            tracing::warn!(seconds = limit.as_secs(), "what was in flight did not end in time; it will be tried again at the next start");
        }
        self.services.store.close().await;
    }
}

/// Opens the store; where a rotation of its key was cut off after everything was sealed again, with the new key, which is put in its place.
fn open_store(data: &Path, options: StoreOptions) -> Result<Store, StoreError> {
    match Store::open(data, options.clone()) {
        Err(StoreError::WrongKey) => match StorageKey::load_next(data)? {
            Some(key) => {
                let store = Store::open(data, StoreOptions { key, ..options })?;
                StorageKey::adopt_next(data)?;
                tracing::warn!("a rotation of the storage key that was cut off is finished");
                Ok(store)
            }
            None => Err(StoreError::WrongKey),
        },
        opened => opened,
    }
}

/// How often what has expired is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long others go first before a sweep that found more than it may remove at once goes on.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);
/// How often plugin bytes nobody uses are looked for.
const SWEEP_PLUGINS_EVERY: Duration = Duration::from_secs(3600);

async fn sweep(services: Services) {
    let kept = services.limits.retention;
    let retention = Retention {
        deliveries: kept.events,
        events: kept.events,
        calls: kept.calls,
        events_max: kept.count_max,
        calls_max: kept.count_max,
        audit: kept.audit,
        audit_max: kept.audit_count_max,
    };
    let mut plugins_at = Instant::now();
    let mut pause = SWEEP_EVERY;
    loop {
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match services.store.sweep(retention).await {
            Ok(swept) if swept.more => SWEEP_PAUSE,
            Ok(_) => SWEEP_EVERY,
            Err(error) => {
                tracing::warn!(%error, "what has expired cannot be removed; trying again in a minute");
                SWEEP_EVERY
            }
        };
        if plugins_at.elapsed() >= SWEEP_PLUGINS_EVERY {
            plugins_at = Instant::now();
            // A past delivery names the bytes that built it, so they stay as long as it does.
            services.plugins.sweep_bytes(kept.events).await;
        }
    }
}

/// The first start makes an admin token: printed once, kept in `DATA/admin-token` (0600), only its hash in the store.
async fn first_token(data: &Path, catalog: &Catalog, clock: &SharedClock, given: Option<Secret>) -> Result<Option<Secret>, StartError> {
    let text = match &given {
        Some(secret) => secret.expose_str().unwrap_or_default().to_owned(),
        None if !catalog.snapshot().tokens.is_empty() => return Ok(None),
        None => format!("hwt_{}", hex::encode(random::<24>())),
    };
    if catalog.snapshot().tokens.contains_key(&token::hash(&text)) {
        return Ok(None);
    }
    let record = TokenRecord {
        hash: token::hash(&text),
        name: if given.is_some() { "HOOKWRIGHT_ADMIN_TOKEN" } else { "admin" }.to_owned(),
        scopes: vec![Scope::Admin],
        created_at: clock.now(),
        expires_at: None,
        requests_per_minute: None,
        replaced_by: None,
    };
    if given.is_some() {
        catalog.put_token(record).await?;
        return Ok(None);
    }
    let path = data.join("admin-token");
    write_private(&path, text.as_bytes()).map_err(|source| StartError::Data { path, source })?;
    catalog.put_token(record).await?;
    Ok(Some(Secret::new(text)))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()
}
