# Jede Seite.
failed-title = Problem: { $title }
site = Countersign
languages = Sprachen
receipt = Code
continue-to = weiter zu { $app }
continue = Weiter
or = oder
moment = { $day }. { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
 } { $year }, { $clock } Uhr (UTC)
wait-seconds = { $count ->
    [one] Versuchen Sie es in einer Sekunde noch einmal.
   *[other] Versuchen Sie es in { $count } Sekunden noch einmal.
 }
wait-minutes = { $count ->
    [one] Versuchen Sie es in einer Minute noch einmal.
   *[other] Versuchen Sie es in { $count } Minuten noch einmal.
 }
wait-hours = { $count ->
    [one] Versuchen Sie es in einer Stunde noch einmal.
   *[other] Versuchen Sie es in { $count } Stunden noch einmal.
 }

# Anmeldung.
sign-in-title = Anmelden
sign-in = Anmelden
sign-in-with = Mit { $connection } anmelden
username = Benutzername oder E-Mail
password = Passwort
password-show = Anzeigen
password-hide = Verbergen
own-identity-provider = Vielleicht meldet sich Ihre Organisation über einen eigenen Identitätsanbieter an. Verwenden Sie dann die Domain Ihrer Organisation.
custom-domain-hint = Hat Ihre Organisation eine eigene Anmeldung?
use-custom-domain = Eigene Domain verwenden

# Domain.
domain-title = Anmeldung Ihrer Organisation
domain-intro = Wir bringen Sie zur Anmeldeseite Ihrer Organisation. Ihr Passwort geben Sie dort ein, nicht hier.
domain = Domain oder Name Ihrer Organisation
domain-hint = Zum Beispiel acme.com oder acme; Kolleginnen und Kollegen finden die Domain in ihrem Profil.
domain-back = Stattdessen mit Passwort anmelden

# Auswahl.
choice-title = Wie möchten Sie sich anmelden?
choice-intro = Für { $entered } gibt es mehrere Anmeldewege. Wählen Sie den, den Sie bei der Arbeit verwenden.
choice-back = Andere Domain eingeben

# Zustimmung.
consent-title = { $app } zulassen?
consent-from = Eine App von { $organization }
consent-list = Wenn Sie zustimmen, darf die App:
consent-allow = Zulassen
consent-deny = Nicht zulassen
consent-undo = Ihr Passwort geben wir nie weiter. Wenn Sie nicht zustimmen, kehren Sie zur App zurück, ohne dort angemeldet zu sein.
scope-openid = Sie beim nächsten Besuch wiedererkennen
scope-profile = Ihren Namen und Benutzernamen sehen
scope-email = Ihre E-Mail-Adresse sehen
scope-phone = Ihre Telefonnummer sehen
scope-address = Ihre Postanschrift sehen
scope-offline = Diesen Zugriff behalten, während Sie abwesend sind
scope-other = Die Berechtigung „{ $scope }“ nutzen

# Konto.
account-title = Ihr Konto
sections = Abschnitte dieser Seite
profile = Profil
name = Name
profile-username = Benutzername
email = E-Mail
email-unproven = nicht bestätigt
organization = Organisation
organization-none = Keine
organization-domain = Domain
organization-domain-hint = Damit finden Sie und Ihre Kolleginnen und Kollegen die Anmeldung Ihrer Organisation.
via = Angemeldet über
via-session = Diese Sitzung
via-local = Benutzername und Passwort
sessions = Sitzungen
session-device = Browser
session-began = Angemeldet am
session-used = Zuletzt verwendet
session-action = Aktion
session-local = mit Passwort
session-through = über { $connection }
session-this = Dieser Browser
session-end = Sitzung beenden
sessions-end-others = Alle anderen Sitzungen beenden
sessions-end-others-effect = Hier bleiben Sie angemeldet. Überall sonst müssen Sie sich neu anmelden.
sessions-none = Sie sind sonst nirgends angemeldet.
sessions-none-first = Wenn Sie sich mit einem anderen Browser oder Gerät anmelden, erscheint es hier, und Sie können die Sitzung dort beenden.
session-ended = Die Sitzung ist beendet.
others-ended = Alle anderen Sitzungen sind beendet.
device = { $browser } unter { $system }
device-unknown = Unbekannter Browser
sign-out = Abmelden

# Abmeldung.
logout-title = Abmelden?
logout-effect = Damit endet Ihre Sitzung in diesem Browser und auch der Zugang zu den Apps, die Sie von hier aus geöffnet haben.
logout-effect-upstream = Sie sind über { $connection } angemeldet. Sie können sich nur hier abmelden oder auch dort.
logout-undo = Sie können sich jederzeit wieder anmelden.
logout-local = Nur hier abmelden
logout-upstream = Hier und bei { $connection } abmelden
signed-out-title = Sie sind abgemeldet
signed-out-effect = Wenn auch andere diesen Computer nutzen, schließen Sie jetzt den Browser.
back-to = Zurück zu { $app }
sign-in-again = Wieder anmelden

# Fehler (ihre Texte stehen in errors.ftl) und die Zwischenseite.
start-again-at = Bei { $app } neu beginnen
to-sign-in = Zur Anmeldeseite
repost-title = Einen Moment
repost-intro = Sie werden weitergeleitet. Wenn nichts geschieht, drücken Sie die Schaltfläche.

# Verknüpfen.
cancel = Abbrechen
link-title = Konto verknüpfen
link-came = Sie haben sich gerade über { $provider } angemeldet.
link-intro = Zur E-Mail-Adresse { $email } gibt es hier weitere Anmeldewege. Gehört einer davon Ihnen, können Sie beide mit einem Konto verbinden.
link-legend = Welcher davon gehört Ihnen?
link-proof = Melden Sie sich als Nächstes auf diesem Weg an, um zu bestätigen, dass er Ihnen gehört. Vielleicht bittet Ihr eigener Identitätsanbieter Sie zuerst um eine erneute Anmeldung. Bis dahin ändert sich nichts.
link-accounts = Konten verknüpfen
link-skip = Ohne Verknüpfung fortfahren
link-apart = Wenn Sie nicht verknüpfen, legen wir ein eigenes Konto an.
link-later = Sie können beide auch später noch auf Ihrer Kontoseite verknüpfen.
link-unnamed-intro = Haben Sie hier schon ein Konto, mit Passwort oder über einen anderen Identitätsanbieter? Dann können Sie beide Anmeldewege mit ihm verbinden.
link-existing = Mit einem vorhandenen Konto anmelden
link-new = Mit einem neuen Konto fortfahren
link-confirm-title = Diese beiden verknüpfen?
link-confirm-intro = Sie haben bestätigt, dass beide Ihnen gehören:
link-side-new = Neu hier
link-side-subject = Kennung dort
link-side-unproven = Diese E-Mail-Adresse ist nicht bestätigt.
link-confirm-effect = Danach melden Sie sich auf beiden Wegen an demselben Konto an, mit seinen Rollen und Apps.
link-undo = Sie können das auf Ihrer Kontoseite 30 Tage lang rückgängig machen.
prove-link-title = Mit dem anderen Konto anmelden
prove-link-password = Bestätigen Sie, dass das andere Konto Ihnen gehört: Geben Sie seinen Benutzernamen und sein Passwort ein.
prove-link-intro = Bestätigen Sie, dass das andere Konto Ihnen gehört: Geben Sie seinen Benutzernamen und sein Passwort ein, oder melden Sie sich über seinen Identitätsanbieter an.
reauthenticate-title = Bestätigen Sie, dass Sie es sind
reauthenticate-intro = Der nächste Schritt ändert, wie Sie sich anmelden. Geben Sie Ihr Passwort noch einmal ein.
mail-code-intro = Ihren Identitätsanbieter können wir nicht bitten, noch einmal zu prüfen, ob Sie es sind. Stattdessen senden wir einen Code an { $email }.
mail-code-send = Code senden
mail-code-sent = Wir haben einen Code an { $email } gesendet. Er gilt zehn Minuten lang.
mail-code = Code
mail-code-hint = Acht Ziffern aus der neuesten E-Mail.
mail-code-verify = Bestätigen
mail-code-none = Keine E-Mail? Warten Sie eine Minute und sehen Sie im Spam-Ordner nach.
mail-code-again = Neuen Code senden
merge-title = Diese beiden Konten zusammenführen?
merge-intro = Sie haben bestätigt, dass beide Konten Ihnen gehören. Eines behalten Sie, das andere geht darin auf.
merge-keep = Welches Konto möchten Sie behalten?
merge-username = Welchen Benutzernamen mit seinem Passwort möchten Sie behalten?
merge-username-other = Das andere Passwort gilt dann nicht mehr. Der andere Benutzername bleibt vergeben.
merge-effects = Was sich ändert
merge-ways = Alle Anmeldewege beider Konten führen zu dem Konto, das Sie behalten.
merge-roles = Das Konto, das Sie behalten, bekommt die Rollen von beiden:
merge-apps-one = Apps, die nur { $account } kennen, sehen dieses Konto weiterhin wie bisher:
merge-apps-both = Apps, die beide kennen, sehen künftig das Konto, das Sie behalten:
merge-apps-new = Apps, die noch keines von beiden kennen, sehen das Konto, das Sie behalten.
merge-sessions = Das andere Konto wird aufgelöst. Sie werden von beiden abgemeldet, außer hier.
merge-confirm = Konten zusammenführen
role-owner = Inhaberschaft
role-administrator = Administration
role-member = Mitglied
role-auditor = Prüfung
role-operator = Betrieb

# Die eigenen Profile.
profile-via = Anmeldeweg
profile-since = Seit
profile-unused = Noch nicht
profile-here = Diese Sitzung
unlink = Trennen
link-profile = Weiteres Profil verknüpfen
merge = Mit anderem Konto zusammenführen
ledger = Verlauf
ledger-what = Was
ledger-when = Wann
ledger-linked = Verknüpft
ledger-expected = Verknüpft, wie von Ihrer Organisation vorbereitet
ledger-replaced = Ersetzt, als Ihre Organisation den Identitätsanbieter gewechselt hat
ledger-merged = Konten zusammengeführt
ledger-unlinked = Getrennt
ledger-undone = Rückgängig gemacht
undo = Rückgängig
undo-until = lässt sich rückgängig machen bis
linked-done = Verknüpft. Ab jetzt können Sie sich auch so anmelden.
unlinked-done = Getrennt. So können Sie sich nicht mehr an diesem Konto anmelden.
add-title = Weiteres Profil oder Konto verknüpfen
add-intro = Wählen Sie, wie Sie sich bei dem anderen anmelden. Danach melden Sie sich so an, um zu bestätigen, dass es Ihnen gehört.
add-password = Benutzername und Passwort
add-password-hint = eines anderen Kontos, das Ihnen gehört
add-after = Bevor sich etwas ändert, sehen Sie beide, und wir fragen noch einmal nach.
back-to-account = Zurück zu Ihrem Konto
unlink-title = Diesen Anmeldeweg trennen?
unlink-effect = Auf diesem Weg können Sie sich dann nicht mehr an Ihrem Konto anmelden:
unlink-current = So sind Sie gerade angemeldet. Sie werden abgemeldet und können sich auf anderem Weg wieder anmelden.
unlink-local = Ihr Passwort wird gelöscht. Ihr Benutzername bleibt Ihrer.
unlink-undo = Das lässt sich nicht rückgängig machen.
unlink-again = Solange Sie sich dort anmelden können, können Sie ihn wieder verknüpfen.
undo-title = Rückgängig machen?
undo-effect-link = Diese Verknüpfung wird aufgehoben. Der Anmeldeweg, der dadurch hinzukam, führt nicht mehr zu Ihrem Konto:
undo-effect-merge = Rollen, die seit der Zusammenführung entzogen wurden, kommen nicht zurück. Die beiden Konten sind wieder getrennt, jedes mit seinen Anmeldewegen:
undo-effect-replaced = Ihr bisheriger Anmeldeweg führt wieder zu Ihrem Konto, der neue nicht mehr:
undo-sessions = Sie werden abgemeldet, und alle seither begonnenen Sitzungen enden.
undo-undo = Das lässt sich nicht zurücknehmen, aber Sie können neu verknüpfen.
undo-undo-replaced = Das lässt sich nicht zurücknehmen. Wenn der neue Anmeldeweg Ihnen gehört, machen Sie es nicht rückgängig.
undo-confirm = Rückgängig machen

# Ein Passwort über einen zugesandten Link setzen
set-password-title = Passwort festlegen
set-password-intro = Wählen Sie ein neues Passwort für dieses Konto. Das alte kommt nicht zurück.
new-password = Neues Passwort
password-rules-classic = 8 bis 64 Zeichen, mit einem Großbuchstaben, einem Kleinbuchstaben und einer Ziffer. Nur Buchstaben, Ziffern und Zeichen der englischen Tastatur, keine Leerzeichen. Keines der letzten drei Passwörter.
password-rules-nist = 15 bis 256 beliebige Zeichen, aber keines der häufigsten Passwörter. Mehrere Wörter eignen sich gut.
password-too-short = Verwenden Sie mehr Zeichen.
password-too-long = Verwenden Sie weniger Zeichen.
password-no-upper-case = Verwenden Sie mindestens einen Großbuchstaben.
password-no-lower-case = Verwenden Sie mindestens einen Kleinbuchstaben.
password-no-digit = Verwenden Sie mindestens eine Ziffer.
password-characters = Verwenden Sie nur Buchstaben, Ziffern und Zeichen der englischen Tastatur, ohne Leerzeichen.
password-common = Verwenden Sie etwas, das nicht zu den häufigsten Passwörtern gehört.
password-recent = Verwenden Sie etwas anderes als die letzten drei Passwörter dieses Kontos.
set-password-effect = Alle, die an diesem Konto angemeldet sind, werden abgemeldet. Der Link gilt einmal.
set-password = Passwort festlegen
password-set-title = Ihr Passwort ist festgelegt
password-set-effect = Melden Sie sich ab jetzt damit an. Der Link ist jetzt ungültig.
