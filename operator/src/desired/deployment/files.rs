//! Files that the relay reads from Secrets and ConfigMaps: one volume, which follows them without a
//! restart.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount,
    VolumeProjection,
};

use crate::crd::{KeyKind, SseRelaySpec};
use crate::references::{DIRECTORY, Purpose, references};

const VOLUME: &str = "files";

/// The volume and where it is seen; nothing if the spec names no file.
pub fn build(spec: &SseRelaySpec) -> Option<(Volume, VolumeMount)> {
    let mut sources: BTreeMap<(KeyKind, String), Vec<KeyToPath>> = BTreeMap::new();
    for reference in references(spec) {
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
    if sources.is_empty() {
        return None;
    }
    let volume = Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources.into_iter().map(source).collect()),
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
