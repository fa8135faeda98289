//! The real host, in this process: real store, real sandbox, real sockets; only the clock may be the test's.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hookwright::{
    clock::{SharedClock, SystemClock},
    config::{Bases, Config, Limits, Otlp, Smtp},
    host::Host,
    model::proxy::Proxies,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::OnceCell};

use crate::{Client, TestClock, binary, data_directory};

/// The admin token of every host in this process.
pub const TOKEN: &str = "hwt_the-token-of-the-tests";

/// How a host differs from the usual.
#[derive(Clone, Debug)]
pub struct Options {
    /// Networks it may call; usually loopback.
    pub allow_networks: Vec<ipnet::IpNet>,
    /// Its limits; usually the defaults.
    pub limits: Limits,
    /// Its admin token; `None`: it makes one.
    pub token: Option<String>,
    /// What compiles its plugins.
    pub compiler: PathBuf,
    /// Where codes are called; usually anywhere.
    pub bases: Bases,
    /// What sends mail; usually nothing.
    pub smtp: Option<Smtp>,
    /// Where it sends traces; usually nowhere.
    pub otlp: Option<Otlp>,
    /// Whether endpoints are told of them; usually yes.
    pub pass_trace_on: bool,
    /// What stands between it and its endpoints; usually nothing.
    pub proxies: Proxies,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = "127.0.0.0/8".parse().expect("a network");
        Self {
            allow_networks: vec![loopback],
            limits: Limits::default(),
            token: Some(TOKEN.to_owned()),
            compiler: binary(),
            bases: Bases::default(),
            smtp: None,
            otlp: None,
            pass_trace_on: true,
            proxies: Proxies::default(),
        }
    }
}

/// A host.
pub struct TestHost {
    /// An administrator's client.
    pub client: Client,
    /// What it calls now.
    pub clock: Arc<TestClock>,
    /// The admin token it made, if it did.
    pub new_token: Option<String>,
    data: TempDir,
    options: Options,
    uses_test_clock: bool,
    host: Host,
}

impl TestHost {
    /// The usual one, with a clock that stands still.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Another one, with a clock that stands still.
    pub async fn with(options: Options) -> Self {
        Self::on(data_directory(), options, Arc::default(), true).await
    }

    /// One on data that is there already, with a clock that stands at a time that fits it.
    pub async fn over(data: TempDir, options: Options, clock: Arc<TestClock>) -> Self {
        Self::on(data, options, clock, true).await
    }

    async fn on(data: TempDir, options: Options, clock: Arc<TestClock>, uses_test_clock: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut config = Config::new(data.path(), listener.local_addr().expect("an address"));
        config.allow_networks = options.allow_networks.clone();
        config.limits = options.limits.clone();
        config.compiler = Some(options.compiler.clone());
        config.bases = options.bases.clone();
        config.smtp = options.smtp.clone();
        config.otlp = options.otlp.clone();
        config.pass_trace_on = options.pass_trace_on;
        config.proxies = options.proxies.clone();
        let time: SharedClock = if uses_test_clock { Arc::clone(&clock) as _ } else { Arc::new(SystemClock) };
        let given = options.token.clone().map(hookwright::model::secret::Secret::new);
        let host = Host::start(config, listener, time, given).await.unwrap_or_else(|error| panic!("the host does not start: {error:?}"));
        let new_token = host.new_token.as_ref().and_then(|token| token.expose_str()).map(str::to_owned);
        let token = options.token.clone().or_else(|| new_token.clone());
        let client = Client::new(host.address, token.as_deref());
        Self { client, clock, new_token, data, options, uses_test_clock, host }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.host.address
    }

    /// Lets time pass; what is due then is done.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.host.services.window.wake();
    }

    /// Stops it and starts it again on the same data.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same, with something changed while it is stopped.
    pub async fn restart_with(self, change: impl FnOnce(&mut Options)) -> Self {
        let Self { data, mut options, clock, uses_test_clock, host, .. } = self;
        host.stop().await;
        change(&mut options);
        Self::on(data, options, clock, uses_test_clock).await
    }

    /// Stops it, and gives back its data.
    pub async fn stop(self) -> TempDir {
        self.host.stop().await;
        self.data
    }
}

/// One host for all tests of this process that need none of their own: they use names nobody else has. Its clock is the system's.
pub async fn shared() -> &'static TestHost {
    static SHARED: OnceCell<TestHost> = OnceCell::const_new();
    SHARED.get_or_init(|| TestHost::on(data_directory(), Options::default(), Arc::default(), false)).await
}
