# The gateway, its simulated Ollamas and its command line in one image. Nothing is built: Node runs the sources as they are.
FROM node:26-bookworm-slim

LABEL org.opencontainers.image.title="llamero" \
      org.opencontainers.image.description="The gateway in front of a herd of Ollamas" \
      org.opencontainers.image.licenses="MIT"

WORKDIR /opt/llamero

# Among the optional packages are those for traces, and the project's own Node for machines without one; that, the image brings.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force && rm -rf node_modules/node-linux-*

COPY LICENSE ./
COPY config config
COPY src src

# Clients reach the container from outside, so that it wants keys (LLAMERO_CLIENTS_KEYS), or LLAMERO_AUTH=open where everybody who
# can connect may use the models. Operators do not, unless the admin address is widened on purpose.
ENV NODE_ENV=production \
    LLAMERO_LISTEN_ADDRESS=0.0.0.0:11434 \
    LLAMERO_ADMIN_ADDRESS=127.0.0.1:11436

USER node
EXPOSE 11434
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=15s --retries=3 --start-period=30s \
  CMD ["node", "/opt/llamero/src/main.ts", "health"]

ENTRYPOINT ["node", "/opt/llamero/src/main.ts"]
CMD ["serve"]
