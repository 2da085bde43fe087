# Two images: a program with the libraries that it needs on an empty base. No shell, not root.
# `make image` lays out the files of each below target/image, for each architecture.
FROM scratch AS sse-relay
ARG TARGETARCH
COPY target/image/${TARGETARCH}/sse-relay/ /
USER 65532:65532
ENTRYPOINT ["/sse-relay"]

FROM scratch AS sse-relay-operator
ARG TARGETARCH
COPY target/image/${TARGETARCH}/sse-relay-operator/ /
USER 65532:65532
ENTRYPOINT ["/sse-relay-operator"]
