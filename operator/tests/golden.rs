//! What each resource becomes, whole. `make golden` writes the files anew.

#![allow(clippy::unwrap_used)] // allowed in tests, but not found out for helpers here

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use relay_config::Config;
use serde_json::Value;
use sse_relay_operator::cli::{Cli, output};
use sse_relay_operator::document;
use sse_relay_operator::document::settings::NOT_IN_PODS;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every resource with a golden file: those here, and the examples.
fn resources() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = [folder(), examples].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(&folder).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.contains("kind: SseRelay")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 18, "only {} resources", files.len());
    files
}

fn golden(resource: &Path) -> PathBuf {
    let name = resource.file_stem().unwrap().to_str().unwrap();
    folder().join(format!("{name}.objects"))
}

fn render(resource: &Path) -> String {
    let arguments = [
        "sse-relay-operator",
        "render",
        "--relay-version=0.1.0",
        "--relay-image=sse-relay",
        resource.to_str().unwrap(),
    ];
    output(Cli::parse_from(arguments).command).unwrap()
}

fn objects(rendered: &str) -> Vec<Value> {
    let documents = rendered.split("\n---\n");
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect()
}

fn kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

#[test]
fn every_resource_becomes_what_its_file_says() {
    let mut different = Vec::new();
    for resource in resources() {
        let rendered = render(&resource);
        let file = golden(&resource);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &rendered).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != rendered {
            different.push(file.display().to_string());
        }
    }
    assert!(
        different.is_empty(),
        "these differ; run `make golden` and look at the difference: {different:#?}"
    );
}

#[test]
fn no_golden_file_is_left_over() {
    let wanted: Vec<PathBuf> = resources().iter().map(|path| golden(path)).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "objects") {
            assert!(wanted.contains(&path), "{} has no resource", path.display());
        }
    }
}

#[test]
fn the_relay_reads_every_configuration_that_is_written() {
    for resource in resources() {
        let objects = objects(&render(&resource));
        let yaml = kind(&objects, "ConfigMap").unwrap()["data"]["relay.yaml"].clone();
        let yaml = yaml.as_str().unwrap();
        let read = Config::from_sources(Some(("relay.yaml", yaml)), &Default::default()).unwrap();
        assert_eq!(document::yaml(&read), yaml, "{}", resource.display());
    }
}

#[test]
fn every_object_has_the_relay_s_labels_and_says_what_it_was_written_as() {
    for resource in resources() {
        for object in objects(&render(&resource)) {
            let metadata = &object["metadata"];
            for label in ["name", "instance", "component", "managed-by", "part-of"] {
                let value = &metadata["labels"][format!("app.kubernetes.io/{label}")];
                assert!(value.is_string(), "{label} of {metadata}");
            }
            assert!(metadata["annotations"]["sserelay.dev/applied"].is_string());
        }
    }
}

#[test]
fn what_is_turned_off_is_not_there() {
    let off = objects(&render(&folder().join("everything-off.yaml")));
    for gone in ["Secret", "Ingress", "NetworkPolicy", "PodDisruptionBudget"] {
        assert!(kind(&off, gone).is_none(), "{gone}");
    }
    let on = objects(&render(&folder().join("ingress-gce.yaml")));
    for there in [
        "Secret",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "BackendConfig",
        "FrontendConfig",
    ] {
        assert!(kind(&on, there).is_some(), "{there}");
    }
}

/// Kind and name of every object.
fn titles(spec: &str) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("relay.yaml");
    let head = "apiVersion: sserelay.dev/v1alpha1\nkind: SseRelay\nmetadata: {name: live}";
    std::fs::write(&file, format!("{head}\nspec: {spec}\n")).unwrap();
    let objects = objects(&render(&file));
    let title = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        format!("{} {name}", object["kind"].as_str().unwrap())
    };
    objects.iter().map(title).collect()
}

#[test]
fn each_toggle_takes_its_own_objects_away_and_no_others() {
    let tls = "tls: {secretName: live-tls}";
    let ingress = |controller: &str, more: &str| {
        format!("{{ingress: {{hosts: [a.example.com], controller: {controller}, {more}}}}}")
    };
    let monitoring = |on: &str| format!("{{monitoring: {{{on}}}}}");
    let managed = |more: &str| format!("{{redis: {{managed: {{}}}}, {more}}}");
    let cases: [(String, String, &[&str]); 11] = [
        (
            "{}".into(),
            "{disruptionBudget: {enabled: false}}".into(),
            &["PodDisruptionBudget live"],
        ),
        (
            "{}".into(),
            "{networkPolicy: {enabled: false}}".into(),
            &["NetworkPolicy live"],
        ),
        (
            managed(""),
            managed("networkPolicy: {enabled: false}"),
            &["NetworkPolicy live", "NetworkPolicy live-redis"],
        ),
        (
            "{}".into(),
            "{auth: {anonymous: {subscribe: ['**']}}}".into(),
            &["Secret live-tokens"],
        ),
        (
            ingress("generic", ""),
            "{}".into(),
            &["Ingress live", "Secret live-probe"],
        ),
        (
            ingress("generic", ""),
            ingress("generic", "").replace("}}", "}, streamingCheck: {enabled: false}}"),
            &["Secret live-probe"],
        ),
        (
            ingress("gce", tls),
            ingress("gce", ""),
            &["FrontendConfig live"],
        ),
        (
            monitoring("podMonitor: true, alerts: true, dashboard: true"),
            monitoring("podMonitor: true"),
            &["ConfigMap live-dashboard", "PrometheusRule live"],
        ),
        (
            monitoring("podMonitor: true"),
            monitoring("podMonitor: false"),
            &["PodMonitor live"],
        ),
        (
            managed("autoscaling: {hpa: {max: 3}}"),
            managed(""),
            &["HorizontalPodAutoscaler live"],
        ),
        (
            managed("autoscaling: {keda: {max: 3}}"),
            managed(""),
            &["ScaledObject live"],
        ),
    ];
    for (on, off, gone) in cases {
        let (on_titles, off_titles) = (titles(&on), titles(&off));
        let taken: Vec<&String> = on_titles.difference(&off_titles).collect();
        assert_eq!(taken, gone, "{on} -> {off}");
        assert!(off_titles.is_subset(&on_titles), "{on} -> {off}");
    }
}

#[test]
fn pods_are_replaced_only_for_what_a_running_relay_cannot_take() {
    let directory = tempfile::tempdir().unwrap();
    let template = |spec: &str| {
        let file = directory.path().join("relay.yaml");
        let text = format!(
            "apiVersion: sserelay.dev/v1alpha1\nkind: SseRelay\nmetadata: {{name: live}}\nspec: {spec}\n"
        );
        std::fs::write(&file, text).unwrap();
        let objects = objects(&render(&file));
        kind(&objects, "Deployment").unwrap()["spec"]["template"].clone()
    };
    let plain = template("{}");
    for live in [
        "{retention: {events: 5}}",
        "{channels: [{match: 'a.**', overflow: dropOldest}]}",
        "{ingress: {hosts: [a.example.com], controller: contour}}",
    ] {
        assert_eq!(plain, template(live), "{live}");
    }
    assert_ne!(plain, template("{logging: {environment: staging}}"));
    let redis = |host: &str| {
        template(&format!(
            "{{redis: {{external: {{standalone: {{host: {host}}}}}}}}}"
        ))
    };
    assert_ne!(redis("a"), redis("b"));
}

/// Paths of all fields of the relay's configuration; a list, or a table by names, is one field.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let either = schema["anyOf"].as_array().into_iter().flatten();
    let mut sections = std::iter::once(schema).chain(either);
    let Some(properties) = sections.find_map(|section| section["properties"].as_object()) else {
        found.insert(path.trim_start_matches('.').to_owned());
        return;
    };
    for (name, property) in properties {
        fields(property, &format!("{path}.{name}"), found);
    }
}

#[test]
fn every_field_of_the_relay_s_configuration_can_be_written_or_it_is_said_why_not() {
    let mut missing = BTreeSet::new();
    fields(&relay_config::schema(), "", &mut missing);
    assert!(missing.len() > 150, "found only {}", missing.len());
    missing.retain(|field| {
        let of_section = |(section, _): &(&str, &str)| {
            let rest = field.strip_prefix(section);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !NOT_IN_PODS.iter().any(of_section)
    });
    for resource in resources() {
        let objects = objects(&render(&resource));
        let yaml = kind(&objects, "ConfigMap").unwrap()["data"]["relay.yaml"].clone();
        let written: Value = serde_saphyr::from_str(yaml.as_str().unwrap()).unwrap();
        missing.retain(|field| {
            let place = field
                .split('.')
                .try_fold(&written, |place, name| place.get(name));
            place.is_none()
        });
    }
    assert!(
        missing.is_empty(),
        "no golden resource sets these to anything but their default: give the resource a field, or name them in FIELDS or NOT_IN_PODS of document/settings.rs, and write them in a golden file: {missing:#?}"
    );
}

#[test]
fn a_resource_that_means_nothing_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for (spec, message) in [
        ("{replica: 1}", "spec.replica: unknown; write one of"),
        (
            "{retention: {age: 999999h}}",
            "spec.retention.age: `999999h` is too long",
        ),
        (
            "{limits: {queueBytes: 1Gi}}",
            "spec.limits.queueBytes: is 1Gi, more than all streams together may have",
        ),
        (
            "{redis: {managed: {memory: 1Gi, storage: {size: 1Gi}}}}",
            "spec.redis.managed.storage.size: the log and a new writing of it",
        ),
        (
            "{redis: {managed: {memory: 1Mi}}}",
            "spec.redis.managed.memory: Redis itself needs some",
        ),
        (
            "{proxies: {trusted: [everybody]}}",
            "spec.proxies.trusted[0]: `everybody` is no network",
        ),
        (
            "{routes: [{paths: [/a], channels: [a], dialects: {}}]}",
            "spec.routes[0]: unknown field `dialects`",
        ),
        (
            "{sources: [{name: a, redisStreams: {}}]}",
            "spec.sources[0]: unknown field `redisStreams`",
        ),
        ("{sources: [{name: a}]}", "spec.sources[0]"),
        (
            "{sources: [{name: a, redisStream: {redis: {urlVariable: A}, streams: [a]}}]}",
            "spec.sources[0].redisStream.redis.urlVariable: pods have no variables of yours",
        ),
        (
            "{settings: {http: {maxBodyBytes: 1Mi}}}",
            "spec.settings.http.maxBodyBytes: write it as spec.limits.bodyBytes",
        ),
        (
            "{settings: {tickets: {max: 0}}}",
            "spec.settings.tickets.max",
        ),
        (
            "{archive: {postgres: {host: db, database: events, credentials: {name: s}}}}",
            "spec.archive.postgres.credentials.username",
        ),
        (
            "{archive: {postgres: {host: db, database: events}, retention: 1h}}",
            "spec.archive.retention",
        ),
        (
            "{routes: [{paths: ['/{a}'], channels: ['{a}']}], ingress: {hosts: [a.example.com], controller: contour}}",
            "spec.routes[0].paths: a path that begins with a parameter",
        ),
        (
            "{channels: [{match: 'a*', publish: deny}]}",
            "spec.channels[0].match: a star stands for whole segments",
        ),
    ] {
        let file = directory.path().join("relay.yaml");
        let text = format!("kind: SseRelay\nmetadata: {{name: live}}\nspec: {spec}\n");
        std::fs::write(&file, format!("apiVersion: sserelay.dev/v1alpha1\n{text}")).unwrap();
        let arguments = ["sse-relay-operator", "render", file.to_str().unwrap()];
        let error = output(Cli::parse_from(arguments).command).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(message), "{error}");
    }
}
