//! nchan, a module of nginx (Debian: libnginx-mod-nchan), with its messages in memory.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::{Peer, Start, find, text};
use crate::load::generator::Publishing;
use crate::process::{Readiness, free_port};

const MODULES: [&str; 2] = [
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
];

/// `None`: not installed.
pub fn prepare(folder: &Path) -> io::Result<Option<Peer>> {
    let module = MODULES.into_iter().find(|path| Path::new(path).is_file());
    let (Some(nginx), Some(module)) = (find("nginx"), module) else {
        return Ok(None);
    };
    fs::create_dir_all(folder)?;
    let port = free_port()?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(folder, module, port))?;
    Ok(Some(Peer {
        starts: vec![Start {
            program: nginx,
            arguments: vec![
                "-c".to_owned(),
                text(&config),
                "-p".to_owned(),
                text(folder),
            ],
            readiness: Readiness::Accepts(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        }],
        subscribe: format!("http://127.0.0.1:{port}/sub/{{channel}}"),
        publish: format!("http://127.0.0.1:{port}/pub/{{channel}}"),
        publishing: Publishing::default(),
    }))
}

fn configuration(folder: &Path, module: &str, port: u16) -> String {
    let folder = text(folder);
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "daemon off; {user} worker_processes 1;\n\
         pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;\n\
         load_module {module};\n\
         events {{ worker_connections 30000; multi_accept on; }}\n\
         http {{\n\
           access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;\n\
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
           client_body_buffer_size 64k; nchan_shared_memory_size 512m;\n\
           server {{\n\
             listen 127.0.0.1:{port} backlog=4096;\n\
             location ~ ^/sub/(.+)$ {{\n\
               nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;\n\
             }}\n\
             location ~ ^/pub/(.+)$ {{\n\
               nchan_publisher; nchan_channel_id $1;\n\
               nchan_message_buffer_length 10000; nchan_message_timeout 1h;\n\
             }}\n\
           }}\n\
         }}\n"
    )
}
