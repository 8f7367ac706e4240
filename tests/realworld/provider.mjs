// A real identity provider (npm oidc-provider) on loopback: node provider.mjs PORT. Each request for tokens that it
// grants or refuses is a line on standard output.
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const origin = `http://127.0.0.1:${port}`;
const device = 'urn:ietf:params:oauth:grant-type:device_code';

// "desktop" is a public client as mailchute is one, "short" the same with tokens that end soon; "relay" asks whether a
// token is good.
const desktop = {
  token_endpoint_auth_method: 'none',
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token', device],
  redirect_uris: ['http://127.0.0.1/'],
  response_types: ['code'],
};
const provider = new Provider(origin, {
  clients: [
    { client_id: 'desktop', ...desktop },
    { client_id: 'short', ...desktop },
    { client_id: 'relay', client_secret: 'relay-secret', redirect_uris: [], response_types: [], grant_types: ['client_credentials'] },
  ],
  scopes: ['openid', 'offline_access', 'mail'],
  features: {
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
  },
  pkce: { methods: ['S256'], required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  // Pending at least once, so that the client has to wait.
  ttl: { AccessToken: (ctx, token, client) => (client.clientId === 'short' ? 12 : 3600), DeviceCode: 600, Session: 600, Grant: 3600, Interaction: 600, RefreshToken: 3600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.on('grant.success', (ctx) => console.log(`granted ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (ctx, error) => console.log(`refused ${ctx.oidc.params?.grant_type} ${error.error}`));
provider.on('server_error', (ctx, error) => console.log(`fault ${error.stack}`));
provider.listen(port, '127.0.0.1', () => console.log('ready'));
