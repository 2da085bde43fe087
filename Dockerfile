# One program on an empty base: no shell, not root. `make image` puts what it needs into ROOT.
FROM scratch
ARG ROOT
ARG PROGRAM
COPY ${ROOT}/ /
USER 65532:65532
# an entry point in this form takes no arguments of the build: both programs are started by this name
COPY ${ROOT}/${PROGRAM} /program
ENTRYPOINT ["/program"]
