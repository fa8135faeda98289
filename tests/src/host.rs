//! The real host in this process, with a real store, sandbox and sockets. Only the clock may be the test's.

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

/// Options of a host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Networks that the host may call; by default loopback.
    pub allow_networks: Vec<ipnet::IpNet>,
    /// The host's limits; by default its own defaults.
    pub limits: Limits,
    /// The admin token; `None`: the host creates one.
    pub token: Option<String>,
    /// The executable that compiles plugins.
    pub compiler: PathBuf,
    /// The bases of codes; by default any path.
    pub bases: Bases,
    /// The mail server; by default none.
    pub smtp: Option<Smtp>,
    /// The collector of traces; by default none.
    pub otlp: Option<Otlp>,
    /// Whether endpoints get the trace headers; by default they do.
    pub pass_trace_on: bool,
    /// The proxies between the host and its endpoints; by default none.
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
    /// A client with the admin token.
    pub client: Client,
    /// The host's clock, unless it uses the system's.
    pub clock: Arc<TestClock>,
    /// The admin token, if the host created one.
    pub new_token: Option<String>,
    data: TempDir,
    options: Options,
    uses_test_clock: bool,
    host: Host,
}

impl TestHost {
    /// Starts a host with default options and a test clock.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a host with these options and a test clock.
    pub async fn with(options: Options) -> Self {
        Self::on(data_directory(), options, Arc::default(), true).await
    }

    /// Starts a host on existing data, with a test clock whose time fits the data.
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

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// The address the host listens on.
    pub fn address(&self) -> std::net::SocketAddr {
        self.host.address
    }

    /// Advances the clock and wakes the host, so that it does what is due.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.host.services.window.wake();
    }

    /// Stops the host and starts it again on the same data.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// Like `restart`, with options changed in between.
    pub async fn restart_with(self, change: impl FnOnce(&mut Options)) -> Self {
        let Self { data, mut options, clock, uses_test_clock, host, .. } = self;
        host.stop().await;
        change(&mut options);
        Self::on(data, options, clock, uses_test_clock).await
    }

    /// Stops the host and returns its data directory.
    pub async fn stop(self) -> TempDir {
        self.host.stop().await;
        self.data
    }
}

/// One host for all tests of this process that need none of their own. They use unique names. Its clock is the system's.
pub async fn shared() -> &'static TestHost {
    static SHARED: OnceCell<TestHost> = OnceCell::const_new();
    SHARED.get_or_init(|| TestHost::on(data_directory(), Options::default(), Arc::default(), false)).await
}
