//! The servers, with the files as they are but for addresses and the time that a stream may be silent.

use super::support::front::Front;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// What the files of all of them give up silent streams after.
const SILENCE: &str = "90";

#[derive(Clone, Copy)]
pub enum Proxy {
    Nginx,
    Caddy,
    Haproxy,
    Apache,
}

#[allow(dead_code, reason = "each file of tests starts it in a way of its own")]
impl Proxy {
    /// With the pages of another origin than the file names.
    pub fn start_for(
        self,
        named: &str,
        origin: &str,
        relay: SocketAddr,
        application: SocketAddr,
    ) -> Front {
        self.start_with(relay, application, 90, |text| text.replace(named, origin))
    }

    pub fn start(self, relay: SocketAddr, application: SocketAddr, idle: u32) -> Front {
        self.start_with(relay, application, idle, |text| text)
    }

    fn start_with(
        self,
        relay: SocketAddr,
        application: SocketAddr,
        idle: u32,
        change: impl Fn(String) -> String,
    ) -> Front {
        Front::start(|folder, address| {
            let filled = |name: &str, listen: (&str, &str)| {
                let text = change(example(name));
                assert!(text.contains(SILENCE), "{name} says how long");
                text.replace(SILENCE, &idle.to_string())
                    .replace(listen.0, listen.1)
                    .replace("application:3000", &application.to_string())
                    .replace("relay:8080", &relay.to_string())
            };
            let write = |name: &str, text: String| -> PathBuf {
                let file = folder.join(name);
                fs::write(&file, text).unwrap();
                file
            };
            match self {
                Proxy::Nginx => {
                    let text = filled("nginx.conf", ("listen 80;", &format!("listen {address};")));
                    let text = text
                        .replace("/run/nginx.pid", &folder.join("pid").display().to_string())
                        .replace("http {\n", &format!("http {{\n{}", folders(folder)));
                    let mut nginx = Command::new("nginx");
                    nginx.arg("-c").arg(write("nginx.conf", text));
                    nginx.args(["-e", "stderr", "-g", "daemon off;"]);
                    nginx
                }
                Proxy::Caddy => {
                    let site = format!(":{} {{\n\tbind 127.0.0.1\n", address.port());
                    let text = filled("Caddyfile", (":80 {\n", &site));
                    let mut caddy = Command::new("caddy");
                    caddy.args(["run", "--adapter", "caddyfile", "--config"]);
                    caddy.arg(write("Caddyfile", text));
                    for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                        caddy.env(variable, folder);
                    }
                    caddy
                }
                Proxy::Haproxy => {
                    let text = filled("haproxy.cfg", ("bind :80\n", &format!("bind {address}\n")));
                    // as many as any machine has files for
                    let text = text.replace("maxconn 20000", "maxconn 200");
                    let mut haproxy = Command::new("haproxy");
                    haproxy.args(["-db", "-f"]).arg(write("haproxy.cfg", text));
                    haproxy
                }
                Proxy::Apache => {
                    let site = filled(
                        "apache.conf",
                        ("<VirtualHost *:80>", &format!("<VirtualHost {address}>")),
                    );
                    let text = apache_around(folder, address) + &site;
                    let mut apache = Command::new("apache2");
                    apache.arg("-DFOREGROUND").arg("-f");
                    apache.arg(write("apache.conf", text));
                    apache
                }
            }
        })
    }
}

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/proxies");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Where nginx keeps what it buffers of requests.
fn folders(folder: &Path) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", folder.join(kind).display()))
        .concat()
}

/// What Debian's own configuration has around a site.
fn apache_around(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let modules = [
        "mpm_event",
        "authz_core",
        "proxy",
        "proxy_http",
        "headers",
        "setenvif",
        "filter",
        "deflate",
    ]
    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
    .concat();
    format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nDefaultRuntimeDir {folder}\n\
         ErrorLog /dev/stderr\nUser www-data\nGroup www-data\nListen {address}\n{modules}"
    )
}
