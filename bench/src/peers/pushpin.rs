//! Pushpin (Debian packages: pushpin, condure, zurl). It asks an origin about each subscriber; that is
//! `relay-bench origin`, which answers that the connection is to be held for a channel. Its limits,
//! which would silently drop messages, are off.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use super::{Peer, Start, find, text};
use crate::load::generator::Publishing;
use crate::process::{Readiness, free_port};

const BASE: &str = "/usr/lib/pushpin/internal.conf";

/// `None`: not installed.
pub fn prepare(folder: &Path) -> io::Result<Option<Peer>> {
    let programs = (find("pushpin"), find("zurl"), find("condure"));
    let (Some(pushpin), Some(zurl), Some(_)) = programs else {
        return Ok(None);
    };
    if !Path::new(BASE).is_file() {
        return Ok(None);
    }
    fs::create_dir_all(folder)?;
    // names of sockets have about a hundred bytes
    let run = std::env::temp_dir().join(format!("relay-bench-{}", std::process::id()));
    fs::create_dir_all(&run)?;
    let [http, publish, origin, pull, subscribe, command] = [(); 6].map(|()| free_port());
    let (http, publish, origin) = (http?, publish?, origin?);
    let (zurl_config, config) = (folder.join("zurl.conf"), folder.join("pushpin.conf"));
    fs::write(&zurl_config, zurl_configuration(&run))?;
    fs::write(folder.join("routes"), format!("* 127.0.0.1:{origin}\n"))?;
    let internal = [pull?, subscribe?, command?];
    fs::write(
        &config,
        configuration(&run, folder, http, publish, internal),
    )?;
    let accepts = |port| Readiness::Accepts(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Ok(Some(Peer {
        starts: vec![
            Start {
                program: std::env::current_exe()?,
                arguments: ["origin", "--port", &origin.to_string()].map(str::to_owned).to_vec(),
                readiness: accepts(origin),
            },
            Start {
                program: zurl,
                arguments: vec![format!("--config={}", text(&zurl_config))],
                readiness: Readiness::Exists(run.join("zurl-in")),
            },
            Start {
                program: pushpin,
                arguments: vec![format!("--config={}", text(&config))],
                readiness: Readiness::Both(http, publish),
            },
        ],
        subscribe: format!("http://127.0.0.1:{http}/{{channel}}"),
        publish: format!("http://127.0.0.1:{publish}/publish/"),
        publishing: Publishing {
            before: "{\"items\":[{\"channel\":\"{channel}\",\"formats\":{\"http-stream\":{\"content\":\"data: "
                .to_owned(),
            after: "\\n\\n\"}}}]}".to_owned(),
            ..Publishing::default()
        },
    }))
}

fn zurl_configuration(run: &Path) -> String {
    let run = text(run);
    format!(
        "[General]\nin_spec=ipc://{run}/zurl-in\nin_stream_spec=ipc://{run}/zurl-in-stream\n\
         out_spec=ipc://{run}/zurl-out\nin_req_spec=ipc://{run}/zurl-req\nipc_file_mode=660\n\
         defpolicy=allow\nallow=\ndeny=\nmax_open_requests=2000\nbuffer_size=200000\ntimeout=600\n\
         in_hwm=100000\nout_hwm=100000\n"
    )
}

fn configuration(run: &Path, folder: &Path, http: u16, publish: u16, internal: [u16; 3]) -> String {
    let (run, folder) = (text(run), text(folder));
    let [pull, subscribe, command] = internal;
    format!(
        "[global]\ninclude={{libdir}}/internal.conf\nrundir={run}\nipc_prefix=pushpin-\nport_offset=0\n\
         stats_connection_ttl=120\n\
         [runner]\nservices=condure,pushpin-proxy,pushpin-handler\nhttp_port=127.0.0.1:{http}\nlogdir={folder}\n\
         log_level=1\nclient_buffer_size=8192\nclient_maxconn=50000\ncondure_bin=condure\n\
         [proxy]\nroutesfile={folder}/routes\ndebug=false\n\
         zurl_out_specs=ipc://{run}/zurl-in\nzurl_out_stream_specs=ipc://{run}/zurl-in-stream\n\
         zurl_in_specs=ipc://{run}/zurl-out\n\
         [handler]\npush_in_spec=tcp://127.0.0.1:{pull}\npush_in_sub_specs=tcp://127.0.0.1:{subscribe}\n\
         push_in_http_addr=127.0.0.1\npush_in_http_port={publish}\n\
         push_in_http_max_headers_size=10000\npush_in_http_max_body_size=1000000\n\
         command_spec=tcp://127.0.0.1:{command}\n\
         message_rate=-1\nmessage_hwm=-1\nmessage_wait=5000\nid_cache_ttl=60\n\
         connection_subscription_max=20\nsubscription_linger=60\n"
    )
}

/// Answers each request that its connection is to be held as an event stream of the channel that the
/// path names. Until the process is killed.
pub fn serve_origin(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    for connection in listener.incoming() {
        let connection = connection?;
        // a connection that fails is Pushpin's to open again
        std::thread::spawn(move || hold(connection));
    }
    Ok(())
}

fn hold(mut connection: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let channel = first
            .split(' ')
            .nth(1)
            .unwrap_or("/")
            .trim_start_matches('/');
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\n\
             Grip-Channel: {channel}\r\nContent-Length: 0\r\n\r\n"
        )?;
    }
    Ok(())
}
