# The production image of the server and the CLI. deploy/README.md explains how to run it.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build
# These two files decide which packages are installed. While they do not change, Docker uses the packages of the previous build.
COPY pnpm-lock.yaml pnpm-workspace.yaml ./
RUN npx -y pnpm@12 fetch
COPY . .
RUN npx -y pnpm@12 install --frozen-lockfile --offline
RUN npx -y pnpm@12 assemble production

FROM node:24.21.0-bookworm-slim
# The CLI is the command `keymeter`.
ENV NODE_ENV=production PATH=/keymeter:$PATH
WORKDIR /keymeter
COPY --from=build /build/production .
USER node
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/livez`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node is process 1 of the container, so it receives SIGTERM itself.
CMD ["node", "server.js"]
