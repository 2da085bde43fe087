//! Files that the relay reads from Secrets and ConfigMaps: one volume, which follows them without a
//! restart.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, ProjectedVolumeSource, SecretProjection,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::crd::KeyKind;
use crate::desired::redis as users;
use crate::document::jwt::{CLUSTER_CA, CLUSTER_TOKEN};
use crate::references::redis::FOLDER;
use crate::references::server::password;
use crate::references::{DIRECTORY, Purpose, references};
use crate::validate::Valid;

const VOLUME: &str = "files";

/// The volume and where it is seen; nothing if there is no file.
pub fn build(valid: &Valid) -> Option<(Volume, VolumeMount)> {
    let mut sources: BTreeMap<(KeyKind, String), Vec<KeyToPath>> = BTreeMap::new();
    if valid.redis.is_some() {
        // not a mention: the operator makes it
        let items = vec![KeyToPath {
            key: users::PASSWORD.to_owned(),
            path: password(FOLDER),
            mode: None,
        }];
        sources.insert((KeyKind::Secret, valid.names.users()), items);
    }
    for reference in references(&valid.spec) {
        if let Purpose::File(path) = reference.purpose {
            let items = sources
                .entry((reference.key.kind, reference.key.name))
                .or_default();
            items.push(KeyToPath {
                key: reference.key.key,
                path,
                mode: None,
            });
        }
    }
    let mut sources: Vec<VolumeProjection> = sources.into_iter().map(source).collect();
    let auth = valid.spec.auth.as_ref();
    if auth.is_some_and(|auth| auth.service_accounts.is_some()) {
        sources.extend(cluster());
    }
    if sources.is_empty() {
        return None;
    }
    let volume = Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mount = VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: DIRECTORY.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Some((volume, mount))
}

/// What a pod needs to ask for the cluster's keys: its authority, and a token of the pod's own.
fn cluster() -> [VolumeProjection; 2] {
    let ca = ConfigMapProjection {
        name: "kube-root-ca.crt".to_owned(),
        items: Some(vec![KeyToPath {
            key: "ca.crt".to_owned(),
            path: CLUSTER_CA.to_owned(),
            mode: None,
        }]),
        optional: None,
    };
    let token = ServiceAccountTokenProjection {
        path: CLUSTER_TOKEN.to_owned(),
        expiration_seconds: Some(3_600),
        audience: None,
    };
    [
        VolumeProjection {
            config_map: Some(ca),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            service_account_token: Some(token),
            ..VolumeProjection::default()
        },
    ]
}

fn source(((kind, name), items): ((KeyKind, String), Vec<KeyToPath>)) -> VolumeProjection {
    let items = Some(items);
    match kind {
        KeyKind::Secret => VolumeProjection {
            secret: Some(SecretProjection {
                name,
                items,
                optional: None,
            }),
            ..VolumeProjection::default()
        },
        KeyKind::ConfigMap => VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name,
                items,
                optional: None,
            }),
            ..VolumeProjection::default()
        },
    }
}
