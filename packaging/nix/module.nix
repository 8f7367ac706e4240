# The spooler of a NixOS machine:
#
#   imports = [ ./packaging/nix/module.nix ];
#   services.mailchute = {
#     enable = true;
#     settings = {
#       accounts.relay = { provider = "gmail"; user = "someone@gmail.com"; credential = "relay-password"; };
#       aliases.root = "someone@gmail.com";
#     };
#     encryptedPassword = "/etc/credstore.encrypted/relay-password";
#   };
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.mailchute;
  toml = pkgs.formats.toml { };
in
{
  options.services.mailchute = {
    enable = lib.mkEnableOption "the mail spooler mailchute";
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./default.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./default.nix { }";
      description = "The package to use.";
    };
    settings = lib.mkOption {
      inherit (toml) type;
      default = { };
      description = "What {manpage}`mailchute.toml(5)` describes. Everyone can read it, so it holds no password.";
    };
    encryptedPassword = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      description = "What {command}`systemd-creds encrypt --name=relay-password` has made.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."mailchute/config.toml".source = toml.generate "mailchute.toml" cfg.settings;
    services.mail.sendmailSetuidWrapper = lib.mkForce null;

    users.users.mailchute = {
      isSystemUser = true;
      group = "mailchute";
      description = "Mail spooler";
    };
    users.groups.mailchute = { };
    systemd.tmpfiles.rules = [ "d /var/spool/mailchute 0700 mailchute mailchute -" ];

    systemd.packages = [ cfg.package ];
    systemd.sockets.mailchute.wantedBy = [ "sockets.target" ];
    systemd.services.mailchute.restartTriggers = [ config.environment.etc."mailchute/config.toml".source ];
    systemd.services.mailchute-send = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ config.environment.etc."mailchute/config.toml".source ];
      serviceConfig.LoadCredentialEncrypted = lib.mkIf (cfg.encryptedPassword != null) [
        "relay-password:${cfg.encryptedPassword}"
      ];
    };
  };
}
