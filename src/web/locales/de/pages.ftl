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
own-identity-provider = Vielleicht meldet sich Ihre Organisation über einen eigenen Identitätsanbieter an; verwenden Sie dann die Domain Ihrer Organisation.
custom-domain-hint = Hat Ihre Organisation eine eigene Anmeldung?
use-custom-domain = Eigene Domain verwenden

# Domain.
domain-title = Anmeldung Ihrer Organisation
domain-intro = Wir bringen Sie dorthin, wo sich Ihre Organisation anmeldet. Ihr Passwort geben Sie dort ein, nicht hier.
domain = Domain oder Name Ihrer Organisation
domain-hint = Zum Beispiel acme.com oder acme; Kolleginnen und Kollegen finden die Domain in ihrem Profil.
domain-back = Stattdessen mit Passwort anmelden

# Auswahl.
choice-title = Wie möchten Sie sich anmelden?
choice-intro = Für { $entered } gibt es mehrere Wege. Wählen Sie den, den Sie bei der Arbeit benutzen.
choice-back = Andere Domain eingeben

# Zustimmung.
consent-title = { $app } zulassen?
consent-from = Eine App von { $organization }
consent-list = Wenn Sie zustimmen, darf die App:
consent-allow = Zulassen
consent-deny = Nicht zulassen
consent-undo = Ihr Passwort wird nie weitergegeben. Stimmen Sie nicht zu, kehren Sie zur App zurück, ohne dort angemeldet zu sein.
scope-openid = Sie beim nächsten Besuch wiedererkennen
scope-profile = Ihren Namen und Benutzernamen sehen
scope-email = Ihre E-Mail-Adresse sehen
scope-phone = Ihre Telefonnummer sehen
scope-address = Ihre Postanschrift sehen
scope-offline = Diesen Zugriff behalten, während Sie nicht da sind
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
session-used = Zuletzt benutzt
session-action = Aktion
session-local = mit Passwort
session-through = über { $connection }
session-this = Dieser Browser
session-end = Sitzung beenden
sessions-end-others = Alle anderen Sitzungen beenden
sessions-end-others-effect = Hier bleiben Sie angemeldet. Überall sonst müssen Sie sich neu anmelden.
sessions-none = Sie sind nirgends sonst angemeldet.
sessions-none-first = Wenn Sie sich mit einem anderen Browser oder Gerät anmelden, erscheint die Sitzung hier, und Sie können sie von hier aus beenden.
session-ended = Die Sitzung ist beendet.
others-ended = Alle anderen Sitzungen sind beendet.
device = { $browser } unter { $system }
device-unknown = Unbekannter Browser
sign-out = Abmelden

# Abmeldung.
logout-title = Abmelden?
logout-effect = Ihre Sitzung in diesem Browser endet, und damit der Zugang zu den Apps, die Sie von hier aus geöffnet haben.
logout-effect-upstream = Sie sind über { $connection } angemeldet. Sie können nur Ihre Sitzung hier beenden oder auch die Sitzung dort.
logout-undo = Sie können sich jederzeit wieder anmelden.
logout-local = Nur hier abmelden
logout-upstream = Hier und bei { $connection } abmelden
signed-out-title = Sie sind abgemeldet
signed-out-effect = Wenn auch andere diesen Computer benutzen, schließen Sie jetzt den Browser.
back-to = Zurück zu { $app }
sign-in-again = Wieder anmelden

# Fehler (ihre Texte stehen in errors.ftl) und die Zwischenseite.
start-again-at = Bei { $app } neu beginnen
to-sign-in = Zur Anmeldeseite
repost-title = Einen Moment
repost-intro = Sie werden weitergeleitet. Wenn nichts geschieht, drücken Sie den Knopf.

# Verknüpfen.
cancel = Abbrechen
link-title = Konto verknüpfen
link-came = Sie haben sich gerade über { $provider } angemeldet.
link-intro = Zur E-Mail-Adresse { $email } gibt es weitere Anmeldewege. Ist einer davon Ihrer, können beide zu einem Konto führen.
link-legend = Welcher davon ist Ihrer?
link-proof = Danach melden Sie sich auf diesem Weg an, damit klar ist, dass er Ihrer ist. Zuerst fragt Ihr eigener Identitätsanbieter vielleicht noch einmal nach. Vorher ändert sich nichts.
link-accounts = Konten verknüpfen
link-skip = Getrennt lassen
link-apart = Bleiben sie getrennt, erhalten Sie ein neues Konto.
link-later = Verknüpfen können Sie sie auch später noch, auf Ihrer eigenen Seite.
link-unnamed-intro = Haben Sie hier schon ein Konto, mit Passwort oder über einen anderen Identitätsanbieter? Dann können beide Wege zu ihm führen.
link-existing = Mit einem vorhandenen Konto anmelden
link-new = Mit einem neuen Konto weiter
link-confirm-title = Diese beiden verknüpfen?
link-confirm-intro = Sie haben gezeigt, dass beides Ihres ist:
link-side-new = Neu hier
link-side-subject = Kennung dort
link-side-unproven = Diese E-Mail-Adresse ist nicht bestätigt.
link-confirm-effect = Danach führen beide Wege zu demselben Konto, mit seinen Rollen und Apps.
link-undo = Auf Ihrer eigenen Seite können Sie das 30 Tage lang rückgängig machen.
prove-link-title = Mit dem anderen Konto anmelden
prove-link-password = Zeigen Sie, dass das andere Konto Ihres ist: Geben Sie seinen Benutzernamen und sein Passwort ein.
prove-link-intro = Zeigen Sie, dass das andere Konto Ihres ist: Geben Sie seinen Benutzernamen und sein Passwort ein oder melden Sie sich über seinen Identitätsanbieter an.
reauthenticate-title = Bestätigen Sie, dass Sie es sind
reauthenticate-intro = Der nächste Schritt ändert, wie Sie sich anmelden. Geben Sie Ihr Passwort noch einmal ein.
mail-code-intro = Ihr Identitätsanbieter kann nicht noch einmal prüfen. Stattdessen schicken wir einen Code an { $email }.
mail-code-send = Code schicken
mail-code-sent = Wir haben einen Code an { $email } geschickt. Er gilt zehn Minuten lang.
mail-code = Code
mail-code-hint = Acht Ziffern, aus der neuesten Nachricht.
mail-code-verify = Bestätigen
mail-code-none = Keine Nachricht? Sehen Sie bei den unerwünschten nach, und warten Sie eine Minute.
mail-code-again = Noch einen Code schicken
merge-title = Aus diesen beiden ein Konto machen?
merge-intro = Sie haben gezeigt, dass beide Konten Ihre sind. Eines bleibt und nimmt das andere auf.
merge-keep = Welches Konto bleibt?
merge-username = Welcher Benutzername bleibt, mit seinem Passwort?
merge-username-other = Das andere Passwort gilt nicht mehr. Der andere Benutzername bleibt vergeben.
merge-effects = Was sich ändert
merge-ways = Alle Anmeldewege von beiden führen zu dem Konto, das bleibt.
merge-roles = Das Konto, das bleibt, hat die Rollen von beiden:
merge-apps-one = Apps, die nur { $account } kennen, sehen dieses Konto weiter wie bisher:
merge-apps-both = Apps, die beide kennen, sehen künftig das Konto, das bleibt:
merge-apps-new = Apps, die noch keines von beiden kennen, sehen das Konto, das bleibt.
merge-sessions = Das andere Konto gibt es für sich allein nicht mehr. Überall außer hier werden Sie von beiden abgemeldet.
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
ledger = Was mit Ihren Anmeldewegen geschah
ledger-what = Was
ledger-when = Wann
ledger-linked = Verknüpft
ledger-expected = Verknüpft, wie von Ihrer Organisation vorbereitet
ledger-replaced = Ersetzt, als Ihre Organisation den Identitätsanbieter gewechselt hat
ledger-merged = Konten zusammengeführt
ledger-unlinked = Getrennt
ledger-undone = Rückgängig gemacht
undo = Rückgängig
undo-until = rückgängig zu machen bis
linked-done = Es ist verknüpft. Ab jetzt können Sie sich auch so anmelden.
unlinked-done = Es ist getrennt. So kann sich niemand mehr an diesem Konto anmelden.
add-title = Weiteres Profil oder Konto verknüpfen
add-intro = Wählen Sie, wie sich das andere anmeldet. Danach melden Sie sich so an, damit klar ist, dass es Ihres ist.
add-password = Benutzername und Passwort
add-password-hint = eines anderen Kontos von Ihnen
add-after = Bevor sich etwas ändert, sehen Sie beide und werden noch einmal gefragt.
back-to-account = Zurück zu Ihrem Konto
unlink-title = Diesen Anmeldeweg trennen?
unlink-effect = Auf diesem Weg erreichen Sie Ihr Konto dann nicht mehr:
unlink-current = So sind Sie gerade angemeldet. Sie werden abgemeldet und melden sich auf anderem Weg wieder an.
unlink-local = Ihr Passwort wird gelöscht. Ihr Benutzername bleibt Ihrer.
unlink-undo = Das lässt sich nicht rückgängig machen.
unlink-again = Solange Sie sich dort anmelden können, lässt es sich neu verknüpfen.
undo-title = Rückgängig machen?
undo-effect-link = Diese Verknüpfung wird aufgehoben. Der Anmeldeweg, der mit ihr hinzukam, führt nicht mehr zu Ihrem Konto:
undo-effect-merge = Die beiden Konten sind wieder getrennt, jedes mit seinen Anmeldewegen. Rollen, die seither entzogen wurden, kommen nicht zurück:
undo-effect-replaced = Ihr bisheriger Anmeldeweg führt wieder zu Ihrem Konto. Der, der an seine Stelle getreten ist, nicht mehr:
undo-sessions = Sie werden abgemeldet, und was seither geöffnet wurde, endet.
undo-undo = Das lässt sich nicht zurücknehmen, aber Sie können neu verknüpfen.
undo-undo-replaced = Das lässt sich nicht zurücknehmen. Ist der neue Anmeldeweg Ihrer, machen Sie es nicht rückgängig.
undo-confirm = Rückgängig machen

# Ein Passwort über einen zugesandten Link setzen
set-password-title = Passwort setzen
set-password-intro = Wählen Sie ein neues Passwort für dieses Konto. Das alte kommt nicht zurück.
new-password = Neues Passwort
password-rules-classic = 8 bis 64 Zeichen, mit einem Großbuchstaben, einem Kleinbuchstaben und einer Ziffer; Buchstaben, Ziffern und Zeichen der englischen Tastatur, keine Leerzeichen; keines der letzten drei Passwörter.
password-rules-nist = 15 bis 256 beliebige Zeichen, keines der häufigsten Passwörter. Mehrere Wörter sind gut.
password-too-short = Nehmen Sie mehr Zeichen.
password-too-long = Nehmen Sie weniger Zeichen.
password-no-upper-case = Nehmen Sie mindestens einen Großbuchstaben.
password-no-lower-case = Nehmen Sie mindestens einen Kleinbuchstaben.
password-no-digit = Nehmen Sie mindestens eine Ziffer.
password-characters = Nehmen Sie nur Buchstaben, Ziffern und Zeichen der englischen Tastatur, ohne Leerzeichen.
password-common = Nehmen Sie etwas, das nicht zu den häufigsten Passwörtern gehört.
password-recent = Nehmen Sie etwas anderes als die letzten drei Passwörter dieses Kontos.
set-password-effect = Wer an diesem Konto angemeldet ist, wird abgemeldet. Der Link gilt einmal.
set-password = Passwort setzen
password-set-title = Ihr Passwort ist gesetzt
password-set-effect = Melden Sie sich ab jetzt damit an. Der Link ist verbraucht.
