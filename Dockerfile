# Two images: a program with the libraries that it needs on an empty base. No shell, not root.
# `make image` lays out the files of each below target/image.
FROM scratch AS sse-relay
COPY target/image/sse-relay/ /
USER 65532:65532
ENTRYPOINT ["/sse-relay"]

FROM scratch AS sse-relay-operator
COPY target/image/sse-relay-operator/ /
USER 65532:65532
ENTRYPOINT ["/sse-relay-operator"]
